"""What was measured, beside the bar it must reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. A figure without a bar only explains others."""

    name: str
    value: float
    form: str = ".2f"
    unit: str = ""
    bar: float | None = None
    side: Literal["at least", "below"] = "at least"

    @property
    def missed(self) -> bool:
        """Whether there is a bar and the figure does not reach it."""
        if self.bar is None:
            return False
        return self.value < self.bar if self.side == "at least" else self.value >= self.bar

    def cells(self) -> tuple[str, str, str]:
        """Name, value, bar with its verdict."""
        bar = "" if self.bar is None else f"{self.side} {self.bar:g} {self.unit}".rstrip()
        verdict = "" if self.bar is None else "MISSED" if self.missed else "ok"
        return self.name, f"{self.value:{self.form}} {self.unit}".rstrip(), f"{bar:<18} {verdict}".rstrip()


def print_table(figures: list[Figure]) -> None:
    """One figure a line."""
    for name, value, bar in (figure.cells() for figure in figures):
        print(f"{name:<58} {value:>14}   {bar}".rstrip())
