"""Sentences that people read, marked for translation where they stand (gettext keyword `N_`)."""

from __future__ import annotations


def N_(message: str) -> str:  # noqa: N802 - gettext's own name for: mark, do not translate here
    """Mark a constant for the message catalogue; the panel translates it when it shows it."""
    return message
