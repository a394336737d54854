"""Tests of `manyserve check`."""
