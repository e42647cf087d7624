//! Availability: probes, uptime, outages, error budget.
