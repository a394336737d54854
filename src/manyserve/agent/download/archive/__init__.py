"""Unpacking of tar and zip archives within limits."""
