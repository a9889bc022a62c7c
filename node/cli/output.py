"""How commands speak: data on stdout, words on stderr, never more than was asked for."""

from __future__ import annotations

import json
from typing import Any

import click


def emit(told: dict[str, Any], as_json: bool, table: str = "") -> None:
    """Print an object: as JSON for programs, as the named table for people."""
    if as_json or not table:
        click.echo(json.dumps(told, ensure_ascii=False, indent=None if as_json else 2))
        return
    from almenara.node.cli.tables import show  # noqa: PLC0415 - rich costs 60 ms; only people wait for it

    show(table, told)


def say(words: str) -> None:
    """Words for people; a program that reads stdout never sees them."""
    click.echo(words, err=True)


def tell(problem: dict[str, Any], as_json: bool) -> None:
    """Print a problem: one line on stderr, and as JSON on stdout if asked."""
    if as_json:
        click.echo(json.dumps(problem, ensure_ascii=False))
    click.echo(line(problem), err=True)


def line(problem: dict[str, Any]) -> str:
    """A problem in one line."""
    about = [f"{word}{problem[name]}" for name, word in _WORDS if problem.get(name)]
    if case_id := problem.get("case_id"):
        about.append(f"kept as draft {case_id}" if "problems" in problem else f"case {case_id}")
    if known := problem.get("known_case"):
        about.append(f"known from {problem.get('known_from', '')} of case {known}")
    head = f"{problem.get('title', 'Refused')}: {', '.join(about)}" if about else str(problem.get("title", "Refused"))
    rest = [str(problem[name]) for name in ("detail", "next") if problem.get(name)]
    return " ".join(_sentence(part.replace("\n", " ")) for part in [head, *rest])


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


_WORDS = (("field", "field "), ("expected", "expected "), ("got", "got "), ("id", "id "))
