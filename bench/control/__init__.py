"""The control plane under load: the real program and a real API server."""
