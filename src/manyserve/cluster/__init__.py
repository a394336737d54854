"""The shell around the API server: no other package sends requests to it.

`kubeconfig` finds the API server, `client` sends requests, and `errors` has all exceptions. `informer` keeps the
objects of one kind in a `store`. `state` indexes them by host, `observe` makes a snapshot of one host, and `apply`
carries a plan out.
"""
