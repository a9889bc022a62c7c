"""Templates: one environment, escaping always on, unknown names refused."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from almenara.admin_ui.icons import icon

HERE = Path(__file__).parent
STATIC = HERE / "static"


@cache
def asset(name: str) -> str:
    """Give the address of a file under static/, with a mark that changes when the file does."""
    mark = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={mark}"


@cache
def environment() -> Environment:
    """Give the one environment."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals.update(icon=icon, asset=asset)
    return made


def render(template: str, **values: Any) -> str:
    """Fill in a template."""
    return environment().get_template(template).render(values)
