"""Tests of manyserve.operator."""  # noqa: A005  named as the room that it tests
