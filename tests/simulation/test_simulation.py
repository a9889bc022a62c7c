"""A few seeds at every run of the suite, one of them twice; and nodes broken on purpose, which must not get through.

`make simulate SEEDS=1000` runs 20 nodes and 200 alerts for each seed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.mutants import MUTANTS

pytestmark = pytest.mark.timeout(600)  # a second or two for each seed, alone on the machine

ROOT = Path(__file__).parents[2]
SEEDS = 2
BROKEN_SEEDS = 2  # an eventful day does not break every node, but one of so many days does


def simulate(*words: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, since Python's hash seed is part of a run's chance."""
    command = [sys.executable, "-m", "tests.simulation", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def digest(seed: int) -> str:
    """The hash over every frame, commit, fault and action of a run."""
    done = simulate("--seed", str(seed), "--size", "eventful")
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.match(r"seed \d+: ([0-9a-f]{64}) ", done.stdout)
    assert found is not None, done.stdout
    return found[1]


def test_a_seed_is_replayed_exactly() -> None:
    """Twice in two processes: not one byte on the wire differs."""
    assert digest(1) == digest(1)


def test_seeds_keep_every_promise() -> None:
    """Partitions, crashes at any write, a full disk: nothing is lost, shown twice or opened by others."""
    done = simulate("--size", "eventful", "--first", "10", "--seeds", str(SEEDS))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{SEEDS} seeds from 10: 0 broke a promise" in done.stdout


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_broken_node_is_found_out(name: str) -> None:
    """By the very promise that it breaks."""
    done = simulate("--broken", name, "--size", "eventful", "--seeds", str(BROKEN_SEEDS))
    assert done.returncode == 1, done.stdout + done.stderr
    broken = {line.partition(":")[0] for line in done.stdout.splitlines()}
    assert broken & MUTANTS[name].caught_by, done.stdout
    assert f"--size eventful --broken {name}" in done.stdout
