"""What the agent takes and holds: `python -m bench.agent`, or `make agent-bench`."""
