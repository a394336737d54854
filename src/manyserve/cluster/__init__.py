"""The wire: the only room that talks to the API server.

`access` finds out where the API server is and who we are, `client` speaks its verbs, `errors` is what they
raise, `informer` keeps a true copy of a kind. `observe` makes the frozen picture that a plan is made from,
and `apply` carries the plan out.
"""
