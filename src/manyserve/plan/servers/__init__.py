"""Launch data of the model servers: one file for each server, and one row in `registry.SERVERS`."""
