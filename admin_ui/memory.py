"""What the panel remembers between two requests, in memory only: open forms, invitations on screen, who is active."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from almenara.node.models import InvitationMade

FORMS_KEPT = 200  # forms open at once; the oldest is forgotten, and its next save makes a second draft at worst


@dataclass
class OpenForm:
    """A new case that is being written: once saved, every further save of the same page goes to the same case."""

    case_id: str | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Memory:
    """Nothing here outlives the process, and `forget` empties it when the vault closes."""

    def __init__(self) -> None:
        self._forms: OrderedDict[str, OpenForm] = OrderedDict()
        self._invitations: dict[str, InvitationMade] = {}

    def form(self, key: str) -> OpenForm:
        """Give the form with this random key; two saves that cross wait for each other at its lock."""
        opened = self._forms.setdefault(key, OpenForm())
        self._forms.move_to_end(key)
        while len(self._forms) > FORMS_KEPT:
            self._forms.popitem(last=False)
        return opened

    def keep_invitation(self, person: str, made: InvitationMade) -> None:
        """Keep the invitation `person` made last, so that reloading its page does not make another."""
        self._invitations[person] = made

    def invitation(self, person: str) -> InvitationMade | None:
        """Give the invitation `person` made last."""
        return self._invitations.get(person)

    def drop_invitation(self, person: str) -> None:
        """The invitation was used, or put away."""
        self._invitations.pop(person, None)

    def forget(self) -> None:
        """The vault closes."""
        self._forms.clear()
        self._invitations.clear()
