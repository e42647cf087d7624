//! Permits for quotas that a server owns: slots anchored on the response, so that no window is ever exceeded.
