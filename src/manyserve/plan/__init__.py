"""Decisions: pure functions from a frozen picture and a clock to what is to be done.

No I/O, no clock of its own, no asyncio. `plan(observed, now)` is the whole of it; the files beside it hold
the rules, the placement, and one builder for each object that we make.
"""
