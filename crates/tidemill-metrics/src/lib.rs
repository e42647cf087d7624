//! Counters, gauges and histograms that cost next to nothing, as Prometheus text.
