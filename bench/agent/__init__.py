"""Measurements of the agent's time, memory and faults: `python -m bench.agent`, or `make agent-bench`."""
