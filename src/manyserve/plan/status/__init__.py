"""Statuses, conditions and events of hosts and models."""
