"""Static configuration of Envoy, as pure functions."""
