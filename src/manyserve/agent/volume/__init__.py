"""The agent's volume: the store of models on disk."""
