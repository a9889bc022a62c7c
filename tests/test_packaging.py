"""The wheel holds everything, under one name, and runs; the lock files name packages and hashes, nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("crypto", "protocol", "node", "admin_ui")
LOCKS = ("requirements.lock", "requirements-build.lock", "requirements-dev.lock")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as a packager builds it: source archive first, wheel from that."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "-q", "--no-isolation", "--outdir", str(out), str(ROOT)], check=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def wheel_names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def tracked(folder: str) -> set[str]:
    """What git knows of a folder, so that caches beside the sources do not count."""
    listing = subprocess.run(["git", "ls-files", "-z", folder], cwd=ROOT, check=True, capture_output=True, text=True)
    return {name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()}


def locked(name: str) -> dict[str, str]:
    """Package → version of a lock file."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+) \\$", text, flags=re.MULTILINE))


def test_every_module_and_data_file_ships(wheel_names: set[str]) -> None:
    want = {f"almenara/{name}" for package in PACKAGES for name in tracked(package)}
    assert want
    assert want <= wheel_names


def test_nothing_else_is_importable(wheel_names: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel_names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"almenara"}


def test_licence_ships(wheel_names: set[str]) -> None:
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel_names)


def test_installed_wheel_runs(wheel: Path, tmp_path: Path) -> None:
    """The console script of the installed wheel answers from its own files, not from this working tree."""
    site = tmp_path / "site"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(pip, check=True)
    env = {"PYTHONPATH": str(site), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    said = subprocess.run([site / "bin" / "almenara", "--version"], env=env, check=True, capture_output=True, text=True)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert version in said.stdout
    where = "import almenara.node as n; print(n.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where], env=env, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert Path(found.stdout.strip()).is_relative_to(site)


@pytest.mark.parametrize("name", LOCKS)
def test_lock_names_no_index_and_no_path(name: str) -> None:
    """A lock file that names somebody's index or folder works nowhere else and tells where it was made."""
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.findall(
        r"^\s*-{1,2}(?:i|f|index-url|extra-index-url|find-links|trusted-host)\b", text, flags=re.MULTILINE
    )
    assert not re.findall(r"\w+://|(?<![\w.])/\w+/", text)


@pytest.mark.parametrize("name", LOCKS)
def test_lock_has_a_hash_for_every_package(name: str) -> None:
    blocks = re.split(r"^(?=[a-z0-9._-]+==)", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert blocks
    assert all("--hash=sha256:" in block for block in blocks)


def test_locks_agree() -> None:
    """What is tested is what is installed: the development lock holds the other two, version by version."""
    dev = locked("requirements-dev.lock")
    assert locked("requirements.lock").items() <= dev.items()
    assert locked("requirements-build.lock").items() <= dev.items()


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.match(r"[\w.-]+", item)[0].lower().replace("_", "-") for item in requirements}  # type: ignore[index]

    assert names(project["dependencies"]) <= locked("requirements.lock").keys()
    assert names(project["optional-dependencies"]["dev"]) <= locked("requirements-dev.lock").keys()
