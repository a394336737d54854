"""Multi-model serving for Kubernetes: one InferenceService runs a server, TrainedModels place models on it."""
