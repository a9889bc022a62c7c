"""How long a node waits before it dials again."""

from __future__ import annotations

from random import Random

from almenara.node.transport.backoff import Backoff


def test_every_wait_lies_between_the_base_and_thrice_the_last_one_under_the_cap() -> None:
    backoff = Backoff(1.0, 60.0, Random(7))
    last = 1.0
    for _ in range(1000):
        wait = backoff.next()
        assert 1.0 <= wait <= min(60.0, last * 3)
        last = wait


def test_waits_reach_the_cap_and_contact_brings_them_back_to_the_base() -> None:
    backoff = Backoff(1.0, 60.0, Random(7))
    assert max(backoff.next() for _ in range(100)) == 60.0
    backoff.reset()
    assert backoff.next() <= 3.0


def test_two_nodes_do_not_dial_in_step() -> None:
    one, other = Backoff(1.0, 60.0, Random(1)), Backoff(1.0, 60.0, Random(2))
    assert [one.next() for _ in range(5)] != [other.next() for _ in range(5)]
