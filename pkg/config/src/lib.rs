//! `prometheus.yml`: every key of Prometheus 3.14, read into the settings of those who use them.
