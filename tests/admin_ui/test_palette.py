"""Contrast of the palette, computed (WCAG 2.2 §1.4.3 and §1.4.11), in light and in dark."""

from __future__ import annotations

import re

import pytest

from almenara.admin_ui.render import STATIC

CSS = (STATIC / "almenara.css").read_text(encoding="utf-8")
TEXT = 4.5
SHAPE = 3.0

PAIRS = [
    *((ink, ground, TEXT) for ink in ("ink", "soft", "link") for ground in ("paper", "card", "sunk")),
    ("on-fire", "fire", TEXT),
    ("fire", "card", TEXT),
    ("ink", "glow", TEXT),
    ("soft", "glow", TEXT),
    ("night-ink", "night", TEXT),
    ("night-soft", "night", TEXT),
    ("ember", "night", TEXT),
    ("ember", "night-lit", TEXT),
    ("night-ink", "night-lit", TEXT),
    ("bad", "card", TEXT),
    ("bad", "paper", TEXT),
    *((name, f"{name}-bg", TEXT) for name in ("good", "bad", "care", "wait", "plain")),
    *((name, f"{name}-bg", TEXT) for name in ("extreme", "severe", "moderate", "minor", "unknown")),
    *(("edge", ground, SHAPE) for ground in ("paper", "card", "sunk")),
    *(("focus", ground, SHAPE) for ground in ("paper", "card", "sunk")),
]


def palette(dark: bool) -> dict[str, str]:
    """The custom properties that hold a colour."""
    light, *rest = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    found = dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6});", light))
    return found | dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6});", rest[0])) if dark else found


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground", "least"), PAIRS)
def test_contrast(ink: str, ground: str, least: float, dark: bool) -> None:
    colours = palette(dark)
    assert contrast(colours[ink], colours[ground]) >= least


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_severity_scale_is_ordered_by_lightness(dark: bool) -> None:
    """Whoever sees no colours still sees that extreme stands out most from the page."""
    colours = palette(dark)
    grounds = [contrast(colours[f"{name}-bg"], colours["card"]) for name in ("extreme", "severe", "unknown")]
    assert grounds[0] > 4.5 > max(grounds[1:])
