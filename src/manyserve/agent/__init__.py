"""The agent: the sidecar that brings a pod's models to the volume and onto the model server, and tells the truth."""
