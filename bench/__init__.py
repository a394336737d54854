"""Measurements of the real programs, against stand-ins that cost them nothing."""
