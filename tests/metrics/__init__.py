"""Metrics, alerts and dashboards: names, the number of series, and what a real Prometheus finds."""
