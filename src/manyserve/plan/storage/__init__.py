"""Storage of models, as the operator configures it: environment, and mounts of secrets and claims."""
