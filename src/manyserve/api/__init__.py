"""Words: what users write and what the parts exchange.

Pydantic types for the two kinds, the operator's configuration, `models.json` and the agents' reports;
quantities, conditions and names; and the printing of the CRDs from the types. Nothing here decides
anything and nothing here does I/O: every other room speaks these words.
"""
