"""Model servers that the operator can start: one file each, and one row in `registry.SERVERS`."""
