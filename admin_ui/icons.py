"""The few icons, drawn on 24 × 24: they stand beside words, never instead of them, so screen readers skip them."""

from __future__ import annotations

from markupsafe import Markup

_STROKES = {
    "today": (
        '<path d="M12 3v2m0 14v2m9-9h-2M5 12H3m15.4-6.4-1.5 1.5M7 17l-1.4 1.4m12.8 0L17 17M7 7 5.6 5.6"/>'
        '<circle cx="12" cy="12" r="4"/>'
    ),
    "inbox": '<path d="M3 13h5l1.5 3h5L16 13h5"/><path d="M5.5 5h13L21 13v6H3v-6z"/>',
    "cases": '<path d="M3 6h6l2 2h10v11H3z"/><path d="M8 13h8"/>',
    "network": (
        '<circle cx="12" cy="5" r="2.5"/>'
        '<circle cx="5" cy="18" r="2.5"/>'
        '<circle cx="19" cy="18" r="2.5"/>'
        '<path d="m10.8 7.3-4.4 8.4m6.8-8.4 4.4 8.4M7.5 18h9"/>'
    ),
    "settings": (
        '<path d="M4 7h9m5 0h2M4 17h2m5 0h9"/><circle cx="15.5" cy="7" r="2.5"/><circle cx="8.5" cy="17" r="2.5"/>'
    ),
    "lock": '<rect x="5" y="11" width="14" height="9" rx="2"/><path d="M8 11V8a4 4 0 0 1 8 0v3"/>',
    "language": '<circle cx="12" cy="12" r="9"/><path d="M3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18"/>',
    "person": '<circle cx="12" cy="8" r="4"/><path d="M4 21c1-5 4-7 8-7s7 2 8 7"/>',
    "leave": '<path d="M14 4h6v16h-6M10 8l-4 4 4 4m-4-4h10"/>',
    "plus": '<path d="M12 5v14M5 12h14"/>',
    "next": '<path class="mirrored" d="m9 5 7 7-7 7"/>',
    "check": '<path d="m5 12.5 4.5 4.5L19 7.5"/>',
    "cross": '<path d="m6 6 12 12M18 6 6 18"/>',
    "warning": '<path d="M12 4 2.5 20h19z"/><path d="M12 10v4m0 3v.2"/>',
    "note": '<circle cx="12" cy="12" r="9"/><path d="M12 11v5m0-8.2V8"/>',
    "send": '<path class="mirrored" d="M4 12 20 4l-5 16-3.5-6.5z"/>',
    "stays": '<path d="M12 3 4 6v6c0 5 3.5 8 8 9 4.5-1 8-4 8-9V6z"/>',
    "queued": '<circle cx="12" cy="12" r="8"/><path d="M12 7.5V12l3 2"/>',
    "carried": '<path d="M4 8h12l-3-3M20 16H8l3 3"/>',
    "severity-Extreme": '<path class="full" d="M8 3h8l5 5v8l-5 5H8l-5-5V8z"/>',
    "severity-Severe": '<path class="full" d="M12 3 22 21H2z"/>',
    "severity-Moderate": '<path class="full" d="M12 2.5 21.5 12 12 21.5 2.5 12z"/>',
    "severity-Minor": '<circle cx="12" cy="12" r="8"/>',
    "severity-Unknown": '<circle cx="12" cy="12" r="8" stroke-dasharray="3 3"/>',
    "tower": (
        '<path class="flame" d="M12 1.5c2.6 2.4 3.6 4 3.6 5.7a3.6 3.6 0 0 1-7.2 0c0-1.2.6-2.1 1.5-3 .2 1 .7 '
        '1.5 1.3 1.7-.3-1.7 0-3.1.8-4.4z"/>'
        '<path d="M7 12.5h10M8.5 12.5 7 22h10l-1.5-9.5M12 22v-4"/>'
    ),
}


def icon(name: str) -> Markup:
    """Inline SVG that takes the colour of the text around it."""
    return Markup(  # noqa: S704 - both parts are constants of this file
        f'<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">{_STROKES[name]}</svg>'
    )
