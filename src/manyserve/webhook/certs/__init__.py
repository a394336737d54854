"""The webhook's certificates: issue, check, store, reload, rotate."""
