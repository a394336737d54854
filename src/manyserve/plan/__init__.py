"""Decisions: pure functions from a frozen snapshot and the time to a plan.

The package has no I/O, no clock and no asyncio. `plan(observed, now)` is its entry point. The other modules hold the
rules, the placement, and one builder for each child object.
"""
