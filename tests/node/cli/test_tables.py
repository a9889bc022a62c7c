"""What people see on a terminal: the facts, and nobody else's markup or colours."""

from __future__ import annotations

from typing import Any

import pytest

ID = "abcdefgh" * 7
VIEW = {"threats": ["legal.arrest"], "country": "CO", "area": "CO-CAU", "when": "2026-W47", "severity": "Severe"}
ALERT = {
    "alert_id": "a1", "circle_id": "c1", "circle": "c-andes",
    "author": {"node_id": ID, "name": "alpha", "verified": True},
    "type": "Alert", "state": "current", "revision": 1, "tlp": "TLP:AMBER", "created_at": "2026-11-20T00:00:00.000Z",
    "received_at": "2026-11-20T00:00:01.000Z", "expires_at": "2027-01-01T00:00:00.000Z", "view": VIEW,
}  # fmt: skip
NEXT = {"reason": "no route", "next": "check the address"}
STATUS = {
    "state": "ready", "node_id": ID, "name": "alpha", "version": "0.1.0", "listen": "127.0.0.1:7790",
    "panel": "http://localhost:7780", "peers": {"verified": 2, "connected": 1}, "alerts_held": 12,
    "problems": [{"code": "peer-unreachable", "node_id": ID, "name": "beta", **NEXT}],
}  # fmt: skip
PEER = {"node_id": ID, "name": "beta", "state": "blocked", "code": "1234 5678 9012", "connected": False, **NEXT}
CIRCLE = {
    "circle_id": "c1", "name": "c-andes", "tier": "network", "max_tlp": "TLP:RED", "retention_days": 90,
    "state": "active",
    "members": [
        {"name": "alpha", "role": "steward", "state": "active"}, {"name": "beta", "role": "member", "state": "active"}
    ],
}  # fmt: skip
CASE = {"case_id": "k1", "state": "draft", "title": "قضية", "updated_at": "2026-11-20", "sent": 0}
CARRIER = {"node_id": ID, "name": "beta", "state": "full", "granted_bytes": 8192, "used_bytes": 4096}
CARRIED_FOR = {
    "node_id": ID, "name": "beta", "granted_bytes": 8192, "used_bytes": 4096, "envelopes": 12, "asked_at": "2026-11-20",
}  # fmt: skip
RECIPIENT = {"node_id": ID, "name": "beta", "state": "failed", "sent_at": "2026-11-20", **NEXT}

SHOWN = [
    (["status"], STATUS, ["ready", "1 of 2 connected", "beta", "no route", "check the address"]),
    (["peers"], {"peers": [PEER]}, ["beta", "blocked", "1234 5678 9012", ID, "no route", "check the address"]),
    (
        ["status"],
        STATUS | {"catching_up": {"expected": 40, "received": 7}, "backlog": 3},
        ["catching up", "7 of 40 have come", "still to send", "3"],
    ),
    (["peers"], {"peers": [PEER | {"catching_up": {"expected": 41, "received": 8}}]}, ["8 of 41 have come"]),
    (["peers"], {"peers": []}, ["almenara invite"]),
    (
        ["discover", "--for", "5"],
        {
            "on": True,
            "until": "2026-11-22T10:00:00.000Z",
            "interfaces": ["eth0"],
            "announces": True,
            "others": 2,
            "found": [{"node_id": ID, "name": "beta", "connected": True}],
        },
        ["eth0", "beta", ID, "2 more"],
    ),
    (["discover", "--stop"], {"on": False, "interfaces": [], "announces": False, "others": 0, "found": []}, ["no"]),
    (["peers", "confirm", "n"], {"node_id": ID, "state": "waiting"}, [ID, "waiting"]),
    (
        ["circle", "list"],
        {"circles": [CIRCLE]},
        ["c-andes", "network", "TLP:RED", "alpha (steward, active)", "beta (member, active)", "c1"],
    ),
    (["circle", "list"], {"circles": []}, ["almenara circle create"]),
    (["circle", "create", "a", "--tier", "network"], CIRCLE, ["c-andes", "c1"]),
    (["circle", "carriers", "c"], {"carriers": [CARRIER]}, ["beta", "full", "4096", "8192", ID]),
    (["circle", "carriers", "c"], {"carriers": []}, ["almenara circle carriers CIRCLE --add PEER"]),
    (["peers", "carrying"], {"carrying": [CARRIED_FOR]}, ["beta", "12", "4096", "8192", "2026-11-20", ID]),
    (["peers", "carrying"], {"carrying": []}, ["Nobody has asked"]),
    (["case", "list"], {"cases": [CASE]}, ["k1", "draft", "قضية"]),
    (["case", "show", "k"], {"case_id": "k1", "case": {"title": "قضية"}}, ["k1", "قضية"]),
    (["inbox"], {"alerts": [ALERT], "next": "8"}, ["alpha", "legal.arrest", "CO-CAU", "2026-W47", "Severe", "a1"]),
    (["inbox"], {"alerts": [], "next": "8"}, ["Nothing came"]),
    (["alert", "show", "a"], ALERT | {"recipients": [RECIPIENT]}, ["alpha", "c-andes", "failed", "no route"]),
    (["alert", "show", "a"], ALERT, ["alpha", "TLP:AMBER", "CO-CAU"]),
]


@pytest.mark.parametrize(("words", "told", "seen"), SHOWN, ids=lambda value: str(value)[:30])
def test_the_facts_are_shown(words: list[str], told: Any, seen: list[str], almenara: Any, node: Any) -> None:
    node.answers = [(200, told)]
    said = almenara(*words, "--home", node.home)
    assert said.exit == 0
    assert [text for text in seen if text not in said.out] == []


def test_words_of_another_organisation_are_never_markup(almenara: Any, node: Any) -> None:
    """A peer's name cannot hide, colour or link anything on our terminal."""
    name = "[red]beta[/red] [link=http://evil.example]x[/link]"
    node.answers = [(200, {"peers": [PEER | {"name": name}]})]
    assert name in almenara("peers", "--home", node.home).out


def test_an_invitation_stands_alone_on_stdout(almenara: Any, node: Any) -> None:
    node.answers = [(201, {"invitation": "almenara:abc", "expires_at": "2026-11-23T00:00:00.000Z"})]
    said = almenara("invite", "--home", node.home)
    assert said.out == "almenara:abc\n"
    assert "2026-11-23" in said.err


def test_the_code_stands_alone_on_stdout_and_what_to_do_on_stderr(almenara: Any, node: Any) -> None:
    node.answers = [(201, {"node_id": ID, "name": "beta", "state": "unconfirmed", "code": "1234 5678 9012"})]
    said = almenara("pair", "almenara:abc", "--home", node.home)
    assert said.out == "1234 5678 9012\n"
    assert f"almenara peers confirm {ID}" in said.err
