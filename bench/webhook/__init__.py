"""The webhook under load: the real program, over TLS and through a real API server."""
