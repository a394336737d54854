"""Validating admission webhook: it refuses an invalid object, or a model that does not fit, at `kubectl apply`.

The API server calls it for every InferenceService and TrainedModel that is created or updated. It answers from its
cache, and the operator checks everything again (`docs/decisions/0007-the-webhook-fails-open.md`). `review` decides and
is pure, from the data of `cache` and `allocations`. `certs` issues and renews the TLS certificate. `handlers` and
`main` are the shell.
"""
