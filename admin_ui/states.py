"""How each state of SCHEMAS §4 is shown: a word, a shape, and besides them a colour."""

from __future__ import annotations

from dataclasses import dataclass

from almenara.node.words import N_


@dataclass(frozen=True)
class Shown:
    """`kind` is a colour of the style sheet (good, wait, care, bad, plain), `shape` an icon."""

    words: str
    kind: str
    shape: str
    meaning: str = ""


PEER = {
    "unconfirmed": Shown(N_("Compare the code"), "care", "warning", N_("Paired; nobody has compared the code yet.")),
    "waiting": Shown(N_("Waiting for them"), "wait", "queued", N_("You confirmed; the other side has not yet.")),
    "verified": Shown(N_("Verified"), "good", "check", N_("Both sides compared the code and confirmed.")),
    "blocked": Shown(N_("Blocked"), "bad", "cross", N_("Nothing is sent until the code has been compared again.")),
    "removed": Shown(N_("Removed"), "plain", "cross", N_("Cut off; kept as a name in old records.")),
}

CIRCLE = {
    "invited": Shown(N_("Invitation"), "care", "note", N_("A steward invited this node.")),
    "accepted": Shown(N_("Joining"), "wait", "queued", N_("You said yes; the key has not come yet.")),
    "active": Shown(N_("Active"), "good", "check", N_("This node holds the circle's key.")),
    "left": Shown(N_("Left"), "plain", "cross", N_("You left. What came before stays readable here.")),
    "removed": Shown(N_("Removed"), "plain", "cross", N_("A steward removed this node from the circle.")),
}

MEMBER = {
    "invited": Shown(N_("Invited"), "wait", "queued", N_("Asked; receives nothing yet.")),
    "accepted": Shown(N_("Joining"), "wait", "queued", N_("Said yes; the key is on its way.")),
    "active": Shown(N_("Active"), "good", "check", N_("Holds the key and receives alerts.")),
    "left": Shown(N_("Left"), "plain", "cross", N_("The key was replaced at that moment.")),
    "removed": Shown(N_("Removed"), "plain", "cross", N_("The key was replaced at that moment.")),
}

DELIVERY = {
    "queued": Shown(N_("Queued"), "plain", "queued", N_("Waits here until the other node can be reached.")),
    "sent": Shown(N_("Sent"), "wait", "send", N_("On its way; not acknowledged yet.")),
    "stored": Shown(N_("Stored"), "good", "check", N_("The other node has it safely on disk and said so.")),
    "carried": Shown(N_("Carried"), "wait", "carried", N_("Another member, or a carrier, holds it for them.")),
    "failed": Shown(N_("Failed"), "bad", "cross", N_("It could not be delivered.")),
}

CARRIER = {
    "asked": Shown(N_("Asked"), "wait", "queued", N_("It has not answered yet.")),
    "carrying": Shown(N_("Carrying"), "good", "carried", N_("It holds and passes on what it cannot read.")),
    "refused": Shown(
        N_("No room"),
        "care",
        "cross",
        N_("It gives no room. Ask them to raise your quota, or ask another organisation."),
    ),
    "full": Shown(
        N_("Full"),
        "care",
        "warning",
        N_("What is oldest and not critical gives way there. Ask them for a larger quota."),
    ),
    "offline": Shown(
        N_("Not connected"), "care", "queued", N_("It is asked, and given new keys, when its node is connected again.")
    ),
}

CASE = {
    "draft": Shown(N_("Draft"), "care", "note", N_("Something is still missing.")),
    "ready": Shown(N_("Ready"), "good", "check", N_("Complete; it can be shared if the consent allows it.")),
    "closed": Shown(N_("Closed"), "plain", "lock", N_("Kept, but not changed or sent any more.")),
}

ALERT = {
    "current": Shown(N_("Current"), "good", "check"),
    "superseded": Shown(N_("Replaced by a newer one"), "plain", "next"),
    "cancelled": Shown(N_("Cancelled"), "plain", "cross"),
    "expired": Shown(N_("Expired"), "plain", "queued"),
    "erased": Shown(N_("Erased"), "plain", "cross"),
    "forked": Shown(N_("Contradictory versions"), "bad", "warning"),
}

MEMBER_ROLE = {
    "steward": N_("Steward"),
    "member": N_("Member"),
    "subscriber": N_("Subscriber"),
}

PEER_KIND = {
    "organisation": N_("Organisation"),
    "network": N_("Network of organisations"),
    "international-body": N_("International body"),
}
