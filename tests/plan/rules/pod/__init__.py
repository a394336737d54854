"""Tests of the rules for pods."""
