"""Builders of a host's child objects, one file per kind."""
