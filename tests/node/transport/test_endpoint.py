"""What may stand in a card or an invitation as an address."""

from __future__ import annotations

import pytest

from almenara.node.transport.endpoint import Endpoint, parse_endpoint
from almenara.node.transport.errors import EndpointMalformed
from almenara.node.transport.sockets import origin


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("node.example.org:7790", "node.example.org", 7790),
        ("Node.Example.Org:1", "node.example.org", 1),
        ("192.0.2.7:65535", "192.0.2.7", 65535),
        ("[2001:db8::1]:7790", "2001:db8::1", 7790),
        ("2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion:443", None, 443),
    ],
)
def test_names_addresses_and_onions_are_read_and_written_back(text: str, host: str | None, port: int) -> None:
    endpoint = parse_endpoint(text)
    assert endpoint == Endpoint(host or text.rpartition(":")[0], port)
    assert str(endpoint) == text.lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "node",
        "node:",
        ":7790",
        "node:0",
        "node:65536",
        "node:07790",
        "node:+1",
        "node:\u0661",
        "user@node:1",
        "node/path:1",
        "http://node:1",
        "-node:1",
        "node..org:1",
        "nóde:1",
        "node :1",
        "node\n:1",
        "2001:db8::1:7790",
        "[node]:1",
        "[::1%25eth0]:1",
        "a" * 64 + ":1",
        "a." * 130 + "a:1",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(EndpointMalformed):
        parse_endpoint(text)


def test_one_ipv6_host_counts_as_one_origin_however_it_roams_in_its_network() -> None:
    assert origin("2001:db8:1:2::1") == origin("2001:db8:1:2:ffff::9")
    assert origin("2001:db8:1:2::1") != origin("2001:db8:1:3::1")
    assert origin("::ffff:192.0.2.7") == origin("192.0.2.7") == "192.0.2.7"
    assert origin("fe80::1%eth0") == origin("fe80::2")
