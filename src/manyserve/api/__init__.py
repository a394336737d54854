"""API types: the two kinds, the operator's configuration, `models.json`, and the agents' reports.

They are pydantic types, with quantities, conditions, names, and the printing of the CRDs beside them. This package
decides nothing and does no I/O. Every other package imports it.
"""
