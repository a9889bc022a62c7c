"""Chains of headers: gaps and forks are found whatever the order of arrival."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from almenara.protocol.chain import Fork, ForkKind, HeaderChains, Verdict
from almenara.protocol.object import Header, ObjectType, header_hash

from .nodes import seed
from .objects import header


def chain(length: int, **changes: object) -> list[Header]:
    """An honest author's headers, each naming the one before."""
    headers: list[Header] = []
    for seq in range(length):
        prev = header_hash(headers[-1].encode()) if headers else b""
        headers.append(header(seq=seq, prev=prev, revision=seq, **changes))
    return headers


def add(chains: HeaderChains, one: Header) -> Verdict:
    return chains.add(one, header_hash(one.encode()))


def test_an_honest_chain_in_order_is_linked_throughout() -> None:
    chains = HeaderChains()
    assert all(add(chains, one).linked for one in chain(5))


@given(st.permutations(range(6)))
def test_an_honest_chain_in_any_order_shows_no_fork_and_ends_without_gap(order: list[int]) -> None:
    headers, chains = chain(6), HeaderChains()
    verdicts = [add(chains, headers[at]) for at in order]
    assert not any(verdict.forks for verdict in verdicts)
    assert add(chains, headers[5]).linked


@given(st.sets(st.integers(0, 40), min_size=1), st.randoms(use_true_random=False))
def test_the_gaps_are_exactly_the_numbers_not_held(held: set[int], rng: object) -> None:
    """Compared with the plain definition, for every set and order of arrival."""
    order = sorted(held)
    rng.shuffle(order)  # type: ignore[attr-defined]
    headers, chains, seen = chain(41), HeaderChains(), set()
    for seq in order:
        seen.add(seq)
        missing = {number for gap in add(chains, headers[seq]).missing for number in gap}
        assert missing == set(range(seq)) - seen


def test_withholding_is_shown_as_a_gap_even_when_it_is_huge() -> None:
    """A made-up number of four billion costs one range, not four billion entries."""
    assert add(HeaderChains(), header(seq=2**32 - 1, prev=seed("prev"))).missing == (range(2**32 - 1),)


def test_a_repeated_header_changes_nothing() -> None:
    headers, chains = chain(2), HeaderChains()
    assert [add(chains, one).linked for one in [*headers, *headers]] == [True] * 4


def test_two_headers_with_one_number_are_a_fork_in_either_order() -> None:
    first, second = header(seq=3, prev=seed("p")), header(seq=3, prev=seed("p"), lane=1)
    for one, other in permutations((first, second)):
        chains = HeaderChains()
        assert not add(chains, one).forks
        (fork,) = add(chains, other).forks
        hashes = (header_hash(one.encode()), header_hash(other.encode()))
        assert fork == Fork(ForkKind.SEQ, 3, *hashes)


def test_a_successor_that_names_another_predecessor_proves_a_fork_in_either_order() -> None:
    """The hidden twin need never be seen: its hash stands in the successor."""
    shown = chain(1)[0]
    successor = header(seq=1, prev=seed("hidden twin"), revision=1)
    for order in permutations((shown, successor)):
        chains = HeaderChains()
        forks = [fork for one in order for fork in add(chains, one).forks]
        assert [(fork.kind, fork.at) for fork in forks] == [(ForkKind.SEQ, 0)]
        assert {forks[0].first, forks[0].second} == {header_hash(shown.encode()), seed("hidden twin")}


def test_two_bodies_for_one_revision_of_one_alert_are_a_fork() -> None:
    chains = HeaderChains()
    alert, twin = header(), header(seq=1, prev=header_hash(header().encode()), body_commit=seed("other body"))
    assert not add(chains, alert).forks
    assert add(chains, twin).forks == (Fork(ForkKind.REVISION, 0, alert.body_commit, twin.body_commit),)


def test_update_and_retract_share_the_revisions_of_their_alert() -> None:
    chains = HeaderChains()
    update = header(type=ObjectType.UPDATE, revision=1)
    retract = header(
        type=ObjectType.RETRACT, revision=1, seq=1, prev=header_hash(update.encode()), body_commit=seed("other")
    )
    assert not add(chains, update).forks
    assert [fork.kind for fork in add(chains, retract).forks] == [ForkKind.REVISION]


def test_an_acknowledgement_and_a_dispute_of_one_alert_are_no_fork() -> None:
    chains = HeaderChains()
    ack = header(type=ObjectType.ACK)
    dispute = header(type=ObjectType.DISPUTE, seq=1, prev=header_hash(ack.encode()), body_commit=seed("other"))
    assert add(chains, ack).linked
    assert add(chains, dispute).linked


def test_what_has_no_revisions_makes_no_fork_of_revisions() -> None:
    """Statements and receipts of one author all carry revision 0 and no reference."""
    chains = HeaderChains()
    first = header(type=ObjectType.RECEIPT, ref_id=b"")
    second = header(
        type=ObjectType.RECEIPT, ref_id=b"", seq=1, prev=header_hash(first.encode()), body_commit=seed("other")
    )
    assert add(chains, first).linked
    assert add(chains, second).linked


def test_sending_a_live_alert_again_is_no_fork() -> None:
    """Same ref_id, revision, salt and body under a new header (PROTOCOL §5.7)."""
    chains, first = HeaderChains(), header()
    again = header(seq=1, prev=header_hash(first.encode()), created_min=header().created_min + 40_000)
    assert add(chains, first).linked
    assert add(chains, again).linked


def test_a_restored_node_in_a_new_incarnation_is_no_fork() -> None:
    """The numbers begin again, and the first header names the last one before the restore."""
    chains, old = HeaderChains(), chain(3)
    restored = header(seq=0, prev=header_hash(old[1].encode()), incarnation=seed("after restore", 16), revision=9)
    assert all(add(chains, one).linked for one in [*old, restored])


def test_circles_and_authors_have_chains_of_their_own() -> None:
    chains = HeaderChains()
    others = [header(), header(circle=seed("another circle", 16)), header(author=seed("another author"))]
    assert all(add(chains, one).linked for one in others)


def test_the_first_of_two_headers_stays_the_one_held() -> None:
    """Otherwise a second twin would be compared with the first twin's rival."""
    chains = HeaderChains()
    first, second, third = (header(created_min=header().created_min + n) for n in range(3))
    for one in (first, second):
        add(chains, one)
    assert add(chains, third).forks[0].first == header_hash(first.encode())
