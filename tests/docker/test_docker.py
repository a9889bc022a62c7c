"""What the image does, without a container engine: its build script, its first process, the files that name them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What the image sets, on free loopback ports and a home of the test's own."""
    (tmp_path / "passphrase").write_text("a passphrase for this test\n", encoding="utf-8")
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "ALMENARA_HOME": str(tmp_path / "data"),
        "ALMENARA_NODE_NAME": "alpha",
        "ALMENARA_PASSPHRASE_FILE": str(tmp_path / "passphrase"),
        "ALMENARA_PANEL_LISTEN": f"127.0.0.1:{free_port()}",
        "ALMENARA_PEER_LISTEN": f"127.0.0.1:{free_port()}",
        "ALMENARA_PEER_ADVERTISE": "alpha:7790",
    }


def started(environment: dict[str, str], log: Path) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    """Run the first process until its health check succeeds."""
    with log.open("wb") as out:
        process = subprocess.Popen([DOCKER / "start"], env=environment, stdout=out, stderr=out)
    until = time.monotonic() + 90
    while time.monotonic() < until:
        health = subprocess.run(["almenara", "status", "--json"], env=environment, check=False, capture_output=True)
        if health.returncode == 0:
            return process, json.loads(health.stdout)
        assert health.returncode == 3
        assert process.poll() is None, log.read_text(encoding="utf-8")
        time.sleep(0.2)
    process.kill()
    raise AssertionError(log.read_text(encoding="utf-8"))


def test_first_process_founds_the_node_once_and_ends_on_sigterm(environment: dict[str, str], tmp_path: Path) -> None:
    """Two starts on one home: the same node, healthy both times, a clean end both times."""
    node_ids = set()
    for _ in range(2):
        process, status = started(environment, tmp_path / "log")
        node_ids.add(status["node_id"])
        assert (status["state"], status["name"]) == ("ready", "alpha")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert not (tmp_path / "data" / "run" / "local.json").exists()
    assert len(node_ids) == 1


def test_first_process_refuses_to_found_a_node_without_a_name(environment: dict[str, str]) -> None:
    del environment["ALMENARA_NODE_NAME"]
    ended = subprocess.run([DOCKER / "start"], env=environment, check=False, capture_output=True, text=True)
    assert ended.returncode != 0
    assert "ALMENARA_NODE_NAME" in ended.stderr


@pytest.mark.timeout(900)
def test_install_script_fills_an_empty_environment_by_the_lock_files(tmp_path: Path) -> None:
    """The image's build, in a virtual environment: it uses the package index, or pip's cache of it."""
    subprocess.run([DOCKER / "install", tmp_path / "almenara"], check=True)
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    frozen = subprocess.run(
        [tmp_path / "almenara/bin/python", "-m", "pip", "list", "--format=json"],
        check=True,
        capture_output=True,
        env=env,
    )
    installed = {one["name"].lower().replace("_", "-"): one["version"] for one in json.loads(frozen.stdout)}
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([a-z0-9._-]+)==(\S+) \\$", lock, flags=re.MULTILINE))
    assert installed.keys() - {"pip", "setuptools", "almenara"} == locked.keys()
    assert {name: installed[name] for name in locked} == locked
    where = "import almenara.node as n; print(n.__file__)"
    found = subprocess.run(
        [tmp_path / "almenara/bin/python", "-c", where],
        check=True,
        capture_output=True,
        text=True,
        env=env,
        cwd=tmp_path,
    )
    assert Path(found.stdout.strip()).is_relative_to(tmp_path / "almenara")


def test_dockerfile_does_nothing_that_the_scripts_do_not() -> None:
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    assert "RUN docker/install /almenara" in text
    assert "COPY docker/start /almenara/bin/start" in text
    assert len(re.findall(r"^RUN ", text, flags=re.MULTILINE)) == 2
    assert re.search(r"^USER almenara$", text, flags=re.MULTILINE)
    assert re.search(r"^HEALTHCHECK .*\"almenara\", \"status\"", text, flags=re.MULTILINE)
    for script in ("install", "start"):
        assert os.access(DOCKER / script, os.X_OK)


@pytest.mark.parametrize("name", ["compose.yaml", "compose.hub.yaml"])
def test_compose_file_names_only_what_exists_and_publishes_panels_on_loopback(name: str) -> None:
    told = yaml.safe_load((DOCKER / name).read_text(encoding="utf-8"))
    nodes = [one for one in told["services"].values() if one["image"] == "almenara"]
    assert nodes
    for node in nodes:
        assert (DOCKER / node["build"]["context"] / node["build"]["dockerfile"]).is_file()
        assert node["read_only"] is True
        assert node["cap_drop"] == ["ALL"]
        assert {secret["source"] for secret in node["secrets"]} <= told["secrets"].keys()
        assert {volume.split(":")[0] for volume in node["volumes"]} <= told["volumes"].keys()
        panels = [port for port in node["ports"] if port.endswith(":7780")]
        assert all(port.startswith("127.0.0.1:") for port in panels)
        assert panels


def test_compose_file_starts_three_nodes_that_reach_each_other() -> None:
    told = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    assert set(told["services"]) == {"alpha", "beta", "gamma"}
    for name, node in told["services"].items():
        assert node["environment"]["ALMENARA_PEER_ADVERTISE"] == f"{name}:7790"
