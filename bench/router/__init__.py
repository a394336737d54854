"""Costs of the router: latency beside a plain Envoy, and the time of one more model beside a floor."""
