"""Rows 1 to 11 and 18 in random pairs; the seed is printed, and `FAULTS_SEED` runs the same pairs again.

The short form runs the same two pairs each time, so that no change fails by chance. The long form runs 50 random pairs
and finds new defects. `FAULTS_PAIRS` is the number of pairs.
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
    """Return True: in pairs each fault lasts seconds, in the long form, too."""
    return True


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=[f"{one} and {two}, seed {SEED}" for one, two in PAIRS])
async def test_two_faults_at_once(env: FaultEnv, figures: Figures, first: int, second: int) -> None:
    seconds = await env.survives(ROWS[first](env), ROWS[second](env))
    figures.take(f"{first} and {second} at once, seed {SEED}: seconds until all is right again", seconds, "s")
