"""The documents say what is so: links lead somewhere, commands and settings are told, tests and modules exist."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from babel.messages.pofile import read_po

from almenara.admin_ui.states import CARRIER
from almenara.node import bundle_export, bundle_import, contradictions, deliveries, health, peers, roster, silence
from almenara.node.cli.app import almenara
from almenara.node.config import SECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
RED = (  # what the panel says of a peer, a circle or a delivery that needs somebody
    *(said for part in (health, contradictions) for name, said in vars(part).items() if name.endswith("_REASON")),
    *(silent.reason for silent in silence.SILENCES),
    *(peers.KEY_CHANGED, peers.REVOKED, peers.NEW_NAME),
    *(roster.STRANDED, roster.CONTESTED),
    *(deliveries.WAITING_FOR_KEY, deliveries.REFUSED_THERE, deliveries.BUSY_THERE),
    *(deliveries.CARRIED, deliveries.CARRIED_BLIND, deliveries.RETURNED),
)
EVERYWHERE = {"--home", "--json"}  # options of every command, told once
TRANSLATIONS = sorted(DOCS.glob("first-steps.*.md"))
GUIDES = [*TRANSLATIONS, *sorted(DOCS.glob("shutdown.*.md")), *sorted(DOCS.glob("carriers.*.md"))]


def markdown_files() -> list[Path]:
    asked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"]
    listing = subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, text=True)
    return sorted(path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file())


FILES = markdown_files()


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def code_in(text: str) -> Iterator[str]:
    """Every line of a block of code and every piece of code in a sentence."""
    for block in re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from block.splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def anchors(path: Path) -> set[str]:
    """The anchors that hosting sites make of headings: lower case, punctuation gone, hyphens for spaces."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", read(path), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        found.add(re.sub(r"[^\w\- ]", "", words.lower()).strip().replace(" ", "-"))
    return found


@pytest.mark.parametrize("path", FILES, ids=named)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    text = without_code(read(path))
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"(?:src|href)=\"([^\"]+)\"", text)
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading"


# the command line


@cache
def commands() -> dict[tuple[str, ...], click.Command]:
    """Every command that does something, by its words."""
    found: dict[tuple[str, ...], click.Command] = {}

    def walk(command: click.Command, words: tuple[str, ...]) -> None:
        if not isinstance(command, click.Group):
            found[words] = command
            return
        if command.invoke_without_command:
            found[words] = command
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            walk(child, (*words, name))

    walk(almenara, ())
    return found


def options_of(command: click.Command) -> set[str]:
    return {name for one in command.params if isinstance(one, click.Option) for name in one.opts} - EVERYWHERE


def command_of(line: str) -> tuple[tuple[str, ...], set[str]] | None:
    """The command that a line of words begins with, as long as possible, and the options in it."""
    words = line.split()
    known = [found for length in (1, 2) if (found := tuple(words[:length])) in commands()]
    return (known[-1], set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", line))) if known else None


def told_commands() -> dict[tuple[str, ...], set[str]]:
    """What docs/command-line.md tells: words to options."""
    told = {}
    for row in re.findall(r"^\| (`.+?) \|", read(DOCS / "command-line.md"), re.MULTILINE):
        for line in re.findall(r"`([^`]+)`", row):
            found = command_of(line)
            if found:
                told[found[0]] = found[1]
    return told


def test_every_command_is_told_with_every_option_and_no_other() -> None:
    assert told_commands() == {words: options_of(command) for words, command in commands().items()}


@pytest.mark.parametrize("path", FILES, ids=named)
def test_every_command_that_a_document_shows_exists(path: Path) -> None:
    for line in code_in(read(path)):
        for shown in re.findall(r"(?:^|[\s/])almenara ((?:[a-z]|-h|--)[^#|]*)", line):
            if shown.startswith("-"):
                continue
            found = command_of(shown)
            assert found is not None or shown.split()[0] in almenara.list_commands(click.Context(almenara)), line
            if found:
                assert found[1] <= options_of(commands()[found[0]]) | EVERYWHERE | {"--help"}, line


def test_the_unit_for_systemd_runs_a_command_that_exists() -> None:
    (line,) = re.findall(r"^ExecStart=(.+)$", read(DOCS / "almenara.service"), re.MULTILINE)
    program, *words = shlex.split(line)
    assert program.endswith("/.venv/bin/almenara")
    found = command_of(" ".join(words))
    assert found is not None
    assert found[0] == ("run",)
    assert found[1] <= options_of(commands()["run",]) | EVERYWHERE


def test_every_target_of_make_that_a_document_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), re.MULTILINE))
    lines = [line for path in FILES for line in code_in(read(path))]
    named_here = {word for line in lines for word in re.findall(r"\bmake ([a-z-]+)", line)}
    assert named_here - targets == set()
    assert "make test" in read(ROOT / "README.md")


# settings


def settings() -> dict[str, object]:
    """Every key with its default; None where there is none."""
    return {
        f"{section}.{key}": field.get_default(call_default_factory=True) if not field.is_required() else None
        for section, model in SECTIONS.items()
        for key, field in model.model_fields.items()
    }


def test_every_setting_is_told_with_its_default_and_no_other() -> None:
    rows = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \| (.+?) \|", read(DOCS / "configuration.md"), re.MULTILINE)
    assert {key for key, _ in rows} == set(settings())
    for key, told in rows:
        default = settings()[key]
        if default is not None:
            shown = str(default).lower() if isinstance(default, bool) else str(default).replace("'", '"')
            assert told.strip("`") == shown, key


# what documents name


def functions_in(path: Path) -> set[str]:
    functions = ast.walk(ast.parse(read(path)))
    return {one.name for one in functions if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_test_that_the_threat_model_names_exists() -> None:
    text = read(DOCS / "threat-model.md")
    found = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", text)
    assert len(found) >= text.count("| promise | tests |")
    assert text.count("::") == len(found), "a test named in another form is not looked up"
    missing = [f"{path}::{name}" for path, name in found if name not in functions_in(ROOT / path)]
    assert missing == []


def test_every_promise_of_the_threat_model_names_a_test() -> None:
    sections = read(DOCS / "threat-model.md").split("| promise | tests |\n|---|---|\n")[1:]
    rows = [row for section in sections for row in section.split("\n\n")[0].splitlines()]
    assert rows
    assert [row for row in rows if "::test_" not in row] == []


@pytest.mark.parametrize("path", [DOCS / "architecture.md", *sorted((DOCS / "adr").glob("0*.md"))], ids=named)
def test_every_module_that_is_named_exists(path: Path) -> None:
    """Modules stand in the documents by their path below the repository, `node/`, `protocol/` or `node/storage/`."""
    tops = [ROOT, ROOT / "node", ROOT / "protocol", ROOT / "node" / "storage"]
    for code in code_in(read(path)):
        for module in re.findall(r"(?<![\w./])(?!almenara/)[a-z_]+(?:/[a-z_]+)*\.py\b", code):
            assert any((top / module).is_file() for top in tops), f"{module} does not exist"


def test_decisions_have_a_number_of_their_own_and_the_one_form() -> None:
    records = sorted((DOCS / "adr").glob("0*.md"))
    numbers = [path.name[:4] for path in records]  # branches that are built side by side take ranges, so gaps stay
    assert len(numbers) == len(set(numbers))
    for path in records:
        text = read(path)
        headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
        dated = r"^Date: \d{4}-\d\d-\d\d · Status: (accepted|replaced by \d{4})$"
        assert re.match(rf"# {path.name[:4]}\. \S", text), path.name
        assert re.search(dated, text, re.MULTILINE), path.name
        assert headings == ["Why this came up", "Decision", "What follows"], path.name


@pytest.mark.parametrize("path", GUIDES, ids=named)
def test_a_translated_guide_has_the_same_commands_sections_and_rows(path: Path) -> None:
    def shape(of: Path) -> tuple[object, ...]:
        text = read(of)
        commands_shown = [re.findall(r"almenara [a-z]+(?: [a-z]+)?|--[a-z-]+", line) for line in code_in(text)]
        headings = [len(level) for level in re.findall(r"^(#+) ", text, re.MULTILINE)]
        rows = [line.count("|") for line in text.splitlines() if line.startswith("|")]
        return [found for found in commands_shown if found], headings, rows

    assert shape(path) == shape(DOCS / f"{path.name.split('.')[0]}.md")


def test_the_guide_explains_every_red_state_in_the_panels_own_words() -> None:
    guide = read(DOCS / "first-steps.md")
    assert [sentence for sentence in RED if sentence not in guide] == []


def test_the_guide_for_shutdowns_uses_the_words_of_the_node_in_every_language() -> None:
    said = [bundle_import.CUT_SHORT, bundle_import.DAMAGED, bundle_import.NOT_FOR_US, bundle_import.WRONG_PASSPHRASE]
    said += [bundle_import.NEEDS_PASSPHRASE, bundle_import.NEWER, bundle_import.NO_BUNDLE, bundle_export.KEY_TOO_OLD]
    said += ["New here", "Known already", "Kept, cannot be opened here", "Refused envelopes", "Bundles", "Network"]
    assert [one for one in said if one not in read(DOCS / "shutdown.md")] == []
    for language in ("es", "fr", "ar"):
        with (ROOT / f"admin_ui/locales/{language}/LC_MESSAGES/almenara.po").open("rb") as file:
            words = read_po(file)
        guide = read(DOCS / f"shutdown.{language}.md")
        assert [one for one in said if str(words[one].string) not in guide] == [], language


@pytest.mark.parametrize("path", TRANSLATIONS, ids=named)
def test_a_translated_guide_uses_the_words_of_the_panel_in_that_language(path: Path) -> None:
    language, guide = path.suffixes[-2][1:], read(path)
    with (ROOT / f"admin_ui/locales/{language}/LC_MESSAGES/almenara.po").open("rb") as file:
        words = read_po(file)
    places = ["Today", "Inbox", "Cases", "Network", "Settings", "Lock", "Leave quickly", "Preview and send"]
    states = ["Queued", "Sent", "Stored", "Carried", "Failed", "Verified", "Waiting for them"]
    said = {word: message.string for word in (*RED, *places, *states) if (message := words.get(word))}
    assert set(said) == {*RED, *places, *states}
    assert [shown for shown in said.values() if shown not in guide] == []


@pytest.mark.parametrize("path", sorted(DOCS.glob("carriers.*.md")), ids=named)
def test_the_guide_to_carriers_uses_the_words_of_the_panel_in_that_language(path: Path) -> None:
    language, guide = path.suffixes[-2][1:], read(path)
    with (ROOT / f"admin_ui/locales/{language}/LC_MESSAGES/almenara.po").open("rb") as file:
        words = read_po(file)
    shown = [
        *(state.words for state in CARRIER.values()),
        "Ask an organisation to carry",
        "Carried for others",
        "Carried",
    ]
    said = {word: message.string for word in shown if (message := words.get(word))}
    assert set(said) == set(shown)
    assert [word for word in said.values() if word not in guide] == []
    assert [word for word in shown if word not in read(DOCS / "carriers.md")] == []
