"""Routes of a heterogeneous host's pod: the states that routers follow, and their acknowledgements before an unload."""
