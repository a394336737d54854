"""Builders of a host's child objects, by kind, and the cache of their results."""
