"""The shell: what keeps the operator going, and asks for a plan when something may have changed.

Informers touch hosts, the queue runs one reconcile at a time for each, and a reconcile is: observe, plan,
apply. The rest of the room looks after the configuration, the agents' reports, health and metrics. It
decides nothing about hosts or models; that is `manyserve.plan`.
"""
