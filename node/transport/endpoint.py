"""An endpoint: where a node listens, as cards and invitations write it."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from dataclasses import dataclass

from almenara.node.transport.errors import EndpointMalformed
from almenara.node.transport.onion import is_onion, is_sound
from almenara.protocol.limits import MAX_ENDPOINT

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host (name, IPv4 or IPv6 address without brackets) and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """Read `host:port` or `[v6]:port`; an onion name is a name with a check sum.

    Raises:
        EndpointMalformed: anything else, a path or user name included.

    """
    if len(text) > MAX_ENDPOINT:
        raise EndpointMalformed("an endpoint is longer than a name and a port can be")
    host, _, port = text.rpartition(":")
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise EndpointMalformed("an endpoint ends in a colon and a port from 1 to 65535")
    if host.startswith("[") and host.endswith("]"):
        return Endpoint(_address6(host[1:-1]), int(port))
    host = host.lower()
    if not host or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise EndpointMalformed("an endpoint starts with a host name, an IPv4 address or an IPv6 address in brackets")
    if is_onion(host) and not is_sound(host):
        raise EndpointMalformed("an onion address has 56 letters and digits, and one of them here is wrong")
    return Endpoint(host, int(port))


def _address6(text: str) -> str:
    if "%" not in text:  # a zone means something on one host only
        with contextlib.suppress(ValueError):
            return str(ipaddress.IPv6Address(text))
    raise EndpointMalformed("what stands in brackets is not an IPv6 address")
