"""Rows 1 to 11 and 18 in random pairs; the seed is printed, and `FAULTS_SEED` runs the same pairs again.

The short form takes the same two pairs each time: what is new is found by the long form, with fifty others each time,
not by who changes a line. `FAULTS_PAIRS` is how many.
"""

from __future__ import annotations

import itertools
import os
import random

import pytest

from tests.faults.env import LONG, FaultEnv
from tests.faults.faults import ROWS
from tests.support.figures import Figures

MANY = 50
SEED = int(os.environ.get("FAULTS_SEED") or (random.randrange(1_000_000) if LONG else 5))
COUNT = int(os.environ.get("FAULTS_PAIRS") or (MANY if LONG else 2))
PAIRS = sorted(random.Random(SEED).sample(list(itertools.combinations(ROWS, 2)), COUNT))


@pytest.fixture
def short_silence() -> bool:
    """In pairs each fault takes seconds, in the long form, too."""
    return True


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=[f"{one} and {two}, seed {SEED}" for one, two in PAIRS])
async def test_two_faults_at_once(env: FaultEnv, figures: Figures, first: int, second: int) -> None:
    seconds = await env.survives(ROWS[first](env), ROWS[second](env))
    figures.take(f"{first} and {second} at once, seed {SEED}: seconds until all is right again", seconds, "s")
