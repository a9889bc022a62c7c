"""`almenara demo`: three real nodes from pairing to stored alerts, asserted by the command itself; nothing is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

DEMO = [sys.executable, "-P", "-m", "almenara.node.cli", "demo"]
LAST_LINE = re.compile(r"demo: 3 nodes, (\d+) cases, (\d+) deliveries stored, (\d+) refused, slowest \d+ ms")


def environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)}


def left_behind(folder: Path) -> list[str]:
    """Files in the folder, and processes whose command line names it."""
    found = [str(path) for path in folder.iterdir()]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


@pytest.mark.timeout(600)
def test_three_nodes_pair_and_every_allowed_case_is_stored_with_the_view_of_its_tier(tmp_path: Path) -> None:
    """The command asserts it (SCHEMAS §9); this asserts that it did, and what is left afterwards."""
    ran = subprocess.run([*DEMO, "--check"], env=environment(tmp_path), check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    counts = LAST_LINE.fullmatch(ran.stdout.splitlines()[-1])
    assert counts is not None
    cases, deliveries, refused = map(int, counts.groups())
    assert cases >= 24
    assert refused >= 1
    assert deliveries >= cases - refused
    assert left_behind(tmp_path) == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_in_the_middle_removes_everything(stop: signal.Signals, tmp_path: Path) -> None:
    with subprocess.Popen(
        DEMO, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        assert "compare" in demo.stdout.readline()  # the nodes run and have paired once
        assert left_behind(tmp_path)
        demo.send_signal(stop)
        assert demo.wait(60) == 1
        assert "Traceback" not in demo.stderr.read()
    until = time.monotonic() + 10
    while left_behind(tmp_path) and time.monotonic() < until:
        time.sleep(0.1)
    assert left_behind(tmp_path) == []
