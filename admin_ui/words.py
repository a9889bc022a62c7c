"""Words of success: named in the address (`?done=case-saved`), shown until dismissed, the same after a reload."""

from __future__ import annotations

from almenara.node.words import N_

DONE = {
    "case-saved": N_("The case is saved and complete. It can be shared now."),
    "case-closed": N_("The case is closed."),
    "sent": N_("Sent. Acknowledgements appear below as they arrive."),
    "already-sent": N_("This was already sent; nothing was sent twice."),
    "invitation-dropped": N_("The invitation is off the screen."),
    "confirmed": N_("You confirmed the comparison. The other side must confirm it too."),
    "discovery-on": N_("This node looks for neighbours for ten minutes."),
    "discovery-off": N_("This node has stopped looking for neighbours."),
    "peer-removed": N_("The organisation is removed and can no longer reach this node."),
    "circle-created": N_("The circle exists. Invite verified organisations now."),
    "circle-invited": N_("The invitation to the circle is on its way."),
    "circle-member-removed": N_("The member is removed, and the circle has a new key."),
    "circle-accepted": N_("You joined the circle."),
    "circle-declined": N_("You declined the invitation."),
    "circle-left": N_("You left the circle."),
    "clock-right": N_("The clock counts as right again. What waited for it goes on."),
    "carrier-asked": N_("The organisation is asked to carry for this circle."),
    "carrier-stopped": N_("The organisation is asked no more; it erases what it holds after a day."),
    "quota-set": N_("The quota is set."),
    "carrying-stopped": N_("This node no longer carries for them; what was here is erased."),
    "forks-settled": N_("Sending goes on. What this node sends from now on is a record of its own."),
    "person-added": N_("The person can sign in now."),
    "person-removed": N_("The person can no longer sign in."),
    "password-set": N_("The password is changed."),
    "signed-out": N_("You are signed out."),
}

ROLES = {
    "admin": N_("Admin"),
    "case worker": N_("Case worker"),
    "viewer": N_("Viewer"),
}
