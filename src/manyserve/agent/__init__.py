"""The agent: the sidecar that downloads a pod's models, loads them into the model server and reports their state."""
