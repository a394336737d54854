"""Rules for objects of users: pure functions that webhook and operator both call."""
