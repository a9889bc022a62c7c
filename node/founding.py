"""`almenara init`: a new home with keys, certificate, configuration and policy; nothing is overwritten."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from almenara.crypto.certificate import make_tls_identity
from almenara.crypto.vault import seal_vault
from almenara.node.identity import Identity
from almenara.node.problem import Kind, Problem
from almenara.node.words import N_

if TYPE_CHECKING:
    from almenara.crypto.identity import NodeId
    from almenara.node.home import Home


def found(home: Home, passphrase: str, configuration: str) -> NodeId:
    """Write a new home and return the node's id; `configuration` is the text of almenara.toml.

    The vault comes last: a home without one was never finished, and may be founded again.
    Raises `Problem`: HOME_IN_USE, NOT_ALLOWED for a folder that cannot be written.
    """
    if home.vault_path.exists():
        raise Problem(
            Kind.HOME_IN_USE,
            N_("There is a node in this folder already."),
            field="home",
            next=N_("Choose another folder, or run the node that is there."),
        )
    identity = Identity.generate()
    try:
        _write(home, identity, passphrase, configuration)
    except OSError:
        raise Problem(
            Kind.NOT_ALLOWED,
            N_("The folder cannot be made, or nothing can be written in it."),
            field="home",
            next=N_("Choose another folder, or give yourself the rights to this one."),
        ) from None
    return identity.node_id


def _write(home: Home, identity: Identity, passphrase: str, configuration: str) -> None:
    home.create()
    home.write(home.config_path, configuration.encode())
    home.write(home.policy_path, files("almenara.node.minimise").joinpath("policy.toml").read_bytes())
    home.write(home.tls_path, make_tls_identity(identity.tls_password).pem)
    home.write(home.vault_path, seal_vault(identity.encode(), passphrase))
