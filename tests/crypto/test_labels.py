"""The table of labels: no two purposes can ever be confused."""

from __future__ import annotations

from itertools import permutations

import pytest

from almenara.crypto.labels import Label


def test_labels_are_unique() -> None:
    """Every name in the table, aliases included, has bytes of its own."""
    assert len({bytes(label) for label in Label.__members__.values()}) == len(Label.__members__)


def test_no_label_begins_another() -> None:
    """So label ‖ data of one purpose is never label ‖ data of another."""
    assert not [(a, b) for a, b in permutations(Label, 2) if b.startswith(a)]


@pytest.mark.parametrize("label", Label)
def test_label_has_the_one_form(label: Label) -> None:
    """`almenara/1/`, the name in lower case with hyphens, and one zero byte at the end."""
    assert label == b"almenara/1/" + label.name.lower().replace("_", "-").encode() + b"\0"
    assert label.count(b"\0") == 1
