"""Checks the English of documents, docstrings, comments, messages and names.

The rules are in CONTRIBUTING.md. ``python -m tests.support.english [path...]`` lists the hits, and ``--count`` prints
figures as JSON.
"""
