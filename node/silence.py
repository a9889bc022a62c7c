"""Why no session with a peer is running, in words for people, with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from almenara.node.clock import DAY_MS
from almenara.node.transport.errors import DialFault
from almenara.node.words import N_

CALLER_SILENT_MS: Final = DAY_MS  # a node that calls us is off at night in many offices; silent for longer is a fault

CHECK_LINE: Final = N_("Check that both nodes run and that their address is right; it is tried again by itself.")
_ASK_THEM: Final = N_("Ask them in another way whether their node is on.")


@dataclass(frozen=True, slots=True)
class Silence:
    """A reason and a next step; `red` where somebody has to do something."""

    reason: str
    next: str = CHECK_LINE
    red: bool = True


NOT_CONNECTED: Final = Silence(N_("Not connected."))
CALLS_US: Final = Silence(
    N_("They gave no address; only they can connect."),
    N_("Nothing to do here: their node calls ours when it is on."),
    red=False,
)
CALLER_SILENT: Final = Silence(N_("They have not called for more than a day, and only they can connect."), _ASK_THEM)
NO_WAY: Final = Silence(
    N_("Neither their node nor ours can be called, so nothing goes from one to the other directly."),
    N_("One of the two needs an address. Until then, share a circle with somebody both of you reach: it passes on."),
)
NO_ADDRESS: Final = Silence(
    N_("Their address is not one that can be called."),
    N_("Ask them to correct peer.advertise and start their node again."),
)
FAULTS: Final = {
    DialFault.NO_SUCH_NAME: Silence(N_("The name in their address cannot be found.")),
    DialFault.NO_ANSWER: Silence(N_("Their address does not answer.")),
    DialFault.TIMED_OUT: Silence(N_("Their address did not answer in time.")),
    DialFault.WRONG_CERTIFICATE: Silence(N_("Another node answers at their address.")),
    DialFault.TURNED_AWAY: Silence(N_("Their node turned the connection away.")),
    DialFault.NEEDS_TOR: Silence(
        N_("Their address is an onion address, and this node has no way to Tor."),
        N_("Start Tor on this computer, write its address into peer.proxy, and start the node again."),
    ),
    DialFault.PROXY_SILENT: Silence(
        N_("The proxy in peer.proxy does not answer."),
        N_("Start Tor, or correct peer.proxy. While the setting is right, it is tried again by itself."),
    ),
    DialFault.PROXY_REFUSED: Silence(
        N_("The proxy in peer.proxy refused the connection."),
        N_("Look into the proxy's log: it has to allow this address, and ask for no password."),
    ),
}
SILENCES: Final = (NOT_CONNECTED, CALLS_US, CALLER_SILENT, NO_WAY, NO_ADDRESS, *FAULTS.values())


def of_caller(last_contact_at: int, now: int, *, we_listen: bool) -> Silence:
    """Judge the silence of a peer that gave no address; both times in ms since 1970."""
    if not we_listen:
        return NO_WAY
    return CALLS_US if now - last_contact_at < CALLER_SILENT_MS else CALLER_SILENT
