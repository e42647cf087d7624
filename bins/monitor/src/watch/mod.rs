//! Asks every target each round: this host, Prometheus endpoints, custom and business metrics.
