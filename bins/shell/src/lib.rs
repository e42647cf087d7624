//! What the executables share: arguments, layered configuration, logs, signals, serving and exit codes.
