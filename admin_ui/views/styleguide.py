"""Every building block on one page, for those who work on the panel (Python's development mode, `python -X dev`)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from almenara.admin_ui.facts import Fact
from almenara.admin_ui.states import ALERT, CASE, CIRCLE, DELIVERY, MEMBER, PEER
from almenara.admin_ui.visit import Route, Visit, Who

if TYPE_CHECKING:
    from aiohttp import web


async def show(visit: Visit) -> web.StreamResponse:
    """Show them with the words they have in use."""
    say = visit.reader.say
    return visit.page(
        "styleguide.html",
        state_tables=(PEER, CIRCLE, MEMBER, DELIVERY, CASE, ALERT),
        facts=[Fact(say(state.words), say(state.meaning)) for state in PEER.values()],
    )


ROUTES = (Route("GET", "/styleguide", show, Who.PERSON),) if sys.flags.dev_mode else ()
