"""Who may send what in a circle, as data (PROTOCOL §8).

Whether an update comes from its alert's author, and a confirmation from somebody else, needs the alert: the node checks
that.  Statements are not in this table's power: `succession` and `lineage` say who may issue them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from almenara.protocol.errors import Defect, RemoteError
from almenara.protocol.object import ALERT_FAMILY, ANSWERS, ObjectType
from almenara.protocol.statement import Role

if TYPE_CHECKING:
    from almenara.protocol.object import Header
    from almenara.protocol.statement import Statement

_ANY = frozenset(Role)
_AUTHORS = frozenset({Role.STEWARD, Role.MEMBER})
_NOBODY: frozenset[Role] = frozenset()

SENDERS: Final[dict[ObjectType, frozenset[Role]]] = dict.fromkeys(ObjectType, _ANY) | {
    ObjectType.ALERT: _AUTHORS,
    ObjectType.UPDATE: _AUTHORS,  # cancel and retract stay open to an author who became a subscriber
    ObjectType.STATEMENT: frozenset({Role.STEWARD}),
    ObjectType.KEY_PACKET: _NOBODY,  # travels under the other suite, never as an object
}
DIRECT_ONLY: Final = frozenset({ObjectType.INVITE, ObjectType.ACCEPT, ObjectType.DECLINE})
GROUP_ONLY: Final = frozenset({ObjectType.LEAVE})  # a direct circle ends with the pairing, not by leaving
UNDER_CEILING: Final = ALERT_FAMILY | ANSWERS  # what speaks of a case may not be above the circle's highest TLP


def check_permission(statement: Statement, role: Role, header: Header) -> None:
    """Check that `role` may send this type in this circle, with this TLP.

    Raises:
        RemoteError: NOT_ALLOWED (the role, or the kind of circle), OUT_OF_RANGE (the TLP).

    """
    if role not in SENDERS[header.type]:
        raise RemoteError(Defect.NOT_ALLOWED, "type", "a type this role may send", header.type.name.lower())
    if header.type in DIRECT_ONLY and not statement.direct:
        raise RemoteError(Defect.NOT_ALLOWED, "type", "a type for groups", header.type.name.lower())
    if header.type in GROUP_ONLY and statement.direct:
        raise RemoteError(Defect.NOT_ALLOWED, "type", "a type for direct circles", header.type.name.lower())
    if header.type in UNDER_CEILING and header.tlp > statement.max_tlp:
        raise RemoteError(Defect.OUT_OF_RANGE, "tlp", f"at most {statement.max_tlp}", str(header.tlp))
