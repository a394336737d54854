"""The webhook: an early answer to `kubectl apply`, with a sentence and figures.

The API server asks it about every InferenceService and TrainedModel that is created or changed. It answers
from memory, never the last word: the operator judges everything again. `review` decides and is pure; `view`
and `reservations` are what it decides from; `certificates` and `bundle` keep TLS going without anyone's help;
`server` and `main` are the shell.
"""
