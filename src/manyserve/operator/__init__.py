"""The operator's process: informers enqueue hosts, and a queue runs one reconcile at a time for each host.

A reconcile is observe, plan, apply. The other modules have the configuration, the agents' reports, health, leader
election and metrics. All decisions about hosts and models are in `manyserve.plan`.
"""
