"""Shards of a host: which copies of which models are on which pod, as pure functions of a snapshot and the time."""
