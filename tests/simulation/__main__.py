"""Run seeds on every core, or replay one: `python -m tests.simulation --seeds 1000`, `--seed 7 --loud`."""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.mutants import MUTANTS
from tests.simulation.runs import SIZES, Told, run

HASH_SEED = "0"  # Python's own chance: the order in which sets are walked


def main() -> int:
    """Exit code 1 where a promise was broken."""
    asked = _arguments()
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        environment = os.environ | {"PYTHONHASHSEED": HASH_SEED}
        os.execve(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]], environment)
    if asked.seed is not None:
        return _tell(run(asked.seed, asked.size, asked.broken, asked.loud), asked)
    broken = 0
    if asked.broken:
        return _until_found_out(asked)
    with ProcessPoolExecutor(asked.jobs, max_tasks_per_child=50) as pool:
        numbers = range(asked.first, asked.first + asked.seeds)
        for told in pool.map(run, numbers, [asked.size] * asked.seeds):
            broken += _tell(told, asked)
    print(f"{asked.seeds} seeds from {asked.first}: {broken} broke a promise")
    return min(broken, 1)


def _until_found_out(asked: argparse.Namespace) -> int:
    """Seed after seed until one catches the broken node by the promise that it breaks."""
    for seed in range(asked.first, asked.first + asked.seeds):
        told = run(seed, asked.size, asked.broken)
        _tell(told, asked)
        if {breach.partition(":")[0] for breach in told.violations} & MUTANTS[asked.broken].caught_by:
            return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--size", choices=SIZES, default="whole", help="4, 6 or 20 nodes; 14, 30 or 200 alerts")
    parser.add_argument("--broken", choices=MUTANTS, help="nodes with this fault, to see it found")
    parser.add_argument("--loud", action="store_true", help="print what happens, but for frames and commits")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    return parser.parse_args()


def _tell(told: Told, asked: argparse.Namespace) -> int:
    counts = " ".join(f"{name} {count}" for name, count in sorted(told.counts.items()))
    print(f"seed {told.seed}: {told.digest} {told.seconds:.1f} s, {counts}", flush=True)
    if not told.violations:
        return 0
    print(told.tail)
    print("\n".join(told.violations))
    broken = f" --broken {asked.broken}" if asked.broken else ""
    print(f"replay: python -m tests.simulation --seed {told.seed} --size {asked.size}{broken} --loud", flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
