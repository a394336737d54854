"""Fixture of hosts in both forms."""

from __future__ import annotations

from tests.plan.conftest import both_forms

__all__ = ["both_forms"]
