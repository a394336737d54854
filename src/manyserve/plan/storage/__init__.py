"""Storage of models, as the operator configures it: environment, mounts, secrets, claims."""
