"""Rules for what Kubernetes would refuse of a host's pods; tests/contract/test_pod_rules.py compares them with it.

Fields that a rule does not know are left to the API server, since newer releases have further ones.
"""
