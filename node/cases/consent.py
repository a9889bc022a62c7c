"""Consent → audience: to whom a case may go, as a table and one pure function (SCHEMAS §2).

Tier, TLP and policy can only narrow what stands here. A state this table does not name goes to nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from almenara.node.problem import Kind, Problem
from almenara.node.words import N_

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from almenara.node.cases.case import Consent

PARTNER, NETWORK, INTERNATIONAL = 1, 2, 3

CircleKind = Literal["direct", "group"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """How far one consent state goes.

    `tiers`: every group circle of these tiers. `direct`: every direct circle. `named_peers`: direct circles with nodes
    in the consent's audience. `named_circles`: circles in the audience. `public`: public outputs and TLP:CLEAR.
    """

    tiers: frozenset[int] = frozenset()
    direct: bool = False
    named_peers: bool = False
    named_circles: bool = False
    public: bool = False


_NETWORK = frozenset({PARTNER, NETWORK})
_ALL = frozenset({PARTNER, NETWORK, INTERNATIONAL})

NOBODY = Reach()
REACH: Mapping[str, Reach] = MappingProxyType(
    {
        "not-asked": NOBODY,
        "pending": NOBODY,
        "refused": NOBODY,
        "local-only": NOBODY,
        "withdrawn": NOBODY,
        "expired": NOBODY,
        "not-possible": NOBODY,
        "share-named-peers": Reach(named_peers=True),
        "share-circle": Reach(named_peers=True, named_circles=True),
        "share-network": Reach(tiers=_NETWORK, direct=True, named_peers=True, named_circles=True),
        "share-subscribers": Reach(tiers=_ALL, direct=True, named_peers=True, named_circles=True),
        "publish": Reach(tiers=_ALL, direct=True, named_peers=True, named_circles=True, public=True),
    }
)
SHARING_STATES = tuple(state for state, reach in REACH.items() if reach != NOBODY)
NAMED_STATES = ("share-named-peers", "share-circle")  # these need an audience

_RECORD = N_("Record consent on the case")
_NAME_THEM = N_("this organisation in the audience")
_NAME_IT = N_("this circle in the audience")


def effective_state(consent: Consent, today: date) -> str:
    """Give the state as it counts today: past `valid_until` it is `expired`."""
    if consent.valid_until and today > date.fromisoformat(consent.valid_until):
        return "expired"
    return consent.state


def ends_ms(consent: Consent) -> int | None:
    """Give the instant at which the consent ends (ms since 1970 UTC, the end of its last day), None if it does not."""
    if not consent.valid_until:
        return None
    try:
        after = date.fromisoformat(consent.valid_until) + timedelta(days=1)
    except OverflowError:  # 9999-12-31
        return None
    return int(datetime.combine(after, time.min, UTC).timestamp()) * 1000


def may_share(
    consent: Consent | None,
    circle_kind: CircleKind,
    circle_tier: int,
    circle_id: str,
    peer_ids: Iterable[str],
    today: date,
) -> Problem | None:
    """Tell whether a case may go to a circle: None, or the problem that stops it.

    `peer_ids` are the other members' node ids; they decide only for a direct circle, which has one.
    """
    if consent is None:
        return _missing("consent", _sufficient(circle_kind, circle_tier), "nothing")
    state = effective_state(consent, today)
    reach = REACH.get(state, NOBODY)
    if reach == NOBODY:
        return _missing("consent.state", _sufficient(circle_kind, circle_tier), state)
    if not consent.basis:
        return _missing("consent.basis", "who consented", "nothing")
    audience = frozenset(consent.audience)
    named = (reach.named_circles and circle_id in audience) or (
        circle_kind == "direct" and reach.named_peers and _all_in(peer_ids, audience)
    )
    if named or (reach.direct if circle_kind == "direct" else circle_tier in reach.tiers):
        return None
    if state == "share-circle" or (state == "share-named-peers" and circle_kind == "direct"):
        wanted = _NAME_THEM if circle_kind == "direct" else _NAME_IT
        return _missing("consent.audience", wanted, f"{len(audience)} others")
    return _missing("consent.state", _sufficient(circle_kind, circle_tier), state)


def _all_in(peer_ids: Iterable[str], audience: frozenset[str]) -> bool:
    peers = frozenset(peer_ids)
    return bool(peers) and peers <= audience


def may_label(consent: Consent | None, tlp: str, today: date) -> Problem | None:
    """Tell whether a case may carry this TLP label: TLP:CLEAR needs the consent `publish`."""
    if tlp != "TLP:CLEAR":
        return None
    state = effective_state(consent, today) if consent else "nothing"
    return None if REACH.get(state, NOBODY).public else _missing("consent.state", "publish", state)


def _sufficient(kind: CircleKind, tier: int) -> str:
    """Name the states that would do without naming anybody."""
    enough = [s for s, reach in REACH.items() if (reach.direct if kind == "direct" else tier in reach.tiers)]
    return " or ".join([", ".join(enough[:-1]), enough[-1]]) if len(enough) > 1 else "".join(enough)


def _missing(field: str, expected: str, got: str) -> Problem:
    return Problem(Kind.CONSENT_MISSING, field=field, expected=expected, got=got, next=_RECORD)
