"""Nodes that have seen the same statements agree, whatever came first: property tests with metamorphic twins."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from almenara.protocol.circle import CircleHistory
from almenara.protocol.errors import RemoteError
from almenara.protocol.statement import MAX_CUTS, Cut, Role, Statement
from almenara.protocol.succession import check_successor

from .circles import S, cut, first, follow, hash_of, header, knowing, leave, who

if TYPE_CHECKING:
    from almenara.crypto.identity import NodeId
    from almenara.protocol.lineage import Leave

NODES = [who(name) for name in ("ana", "ben", "clo", "dia", "eva", "fay")]
ONE = first(*NODES[:3], others={NODES[3]: Role.MEMBER, NODES[4]: Role.SUBSCRIBER})


def grow(seed: int, steps: int) -> tuple[list[Statement], list[Leave]]:
    """A tree of statements with many branches, and leaves: what unlucky stewards, or a malicious one, could issue."""
    chance = random.Random(seed)
    tree, leaves = [ONE], []
    for step in range(steps):
        # Mostly near the tips, so that branches become long; sometimes far back, as a late rival would.
        parent = chance.choice(tree[-4:] if chance.random() < 0.7 else tree)
        if chance.random() < 0.15:
            leaves.append(leave(chance.choice(NODES), parent, seq=chance.randrange(9)))
            continue
        child = follow(parent, chance.choice(parent.stewards), mark=str(step), **_changes(chance, parent))
        if child.stewards and _may_follow(parent, child):
            tree.append(child)
    return tree[1:], leaves


def _changes(chance: random.Random, parent: Statement) -> dict[str, Any]:
    node = chance.choice(NODES)
    if node not in parent.roles:
        return {"admit": {node: chance.choice(list(Role))}} if chance.random() < 0.7 else {"remove": {node: ()}}
    if chance.random() < 0.3 or parent.stewards == (node,):
        return {}
    cuts = sorted(cut(node, chance.randrange(9), name) for name in chance.sample("abc", chance.randrange(MAX_CUTS + 1)))
    return {"remove": {node: tuple(cuts)}}


def _may_follow(parent: Statement, child: Statement) -> bool:
    try:
        check_successor(parent, child)
    except RemoteError:
        return False
    return True


def place_of(statement: Statement) -> Cut | None:
    """Where the statement's object stands in its issuer's chain; for some it is not known."""
    chance = random.Random(statement.hash)
    return cut(statement.issuer, chance.randrange(9), chance.choice("abc")) if chance.random() < 0.5 else None


def picture(history: CircleHistory) -> dict[str, Any]:
    """Everything a node concludes."""
    held = {statement.id for statement in history.chain[::2]}
    return {
        "chain": history.chain,
        "out": history.out,
        "recipients": history.recipients(),
        "waiting": history.waiting,
        "forks": {frozenset(rivals) for rivals in history.forks},
        "stranded": history.stranded,
        "contested": history.contested,
        "void": history.lineage.void,
        "holds": history.hold_reasons(held),
        "reissues": [history.reissues(node) for node in history.current.stewards],
        "leaves": history.leaves(),
        "verdicts": [verdict(history, node, statement) for node in NODES for statement in history.since(b"")],
    }


def verdict(history: CircleHistory, author: NodeId, statement: Statement) -> str:
    """Whether this author's fifth object under this statement counts."""
    try:
        return str(history.check_author(header(author, statement, 4, "a"), hash_of(author, 4, "a")))
    except RemoteError as error:
        return str(error.kind)


seeds = st.integers(0, 2**32)
sizes = st.integers(0, 14)


@settings(max_examples=80, deadline=None)
@given(seeds, sizes, st.randoms(use_true_random=False))
def test_order_and_repetition_make_no_difference(seed: int, steps: int, chance: random.Random) -> None:
    statements, leaves = grow(seed, steps)
    places = {statement: place for statement in statements if (place := place_of(statement))}
    expected = picture(knowing(ONE, *statements, leaves=tuple(leaves), places=places))
    pieces: list[Statement | Leave] = [*statements, *leaves]
    pieces += chance.choices(pieces, k=len(pieces) // 2) if pieces else []
    chance.shuffle(pieces)
    history = knowing(ONE)
    for piece in pieces:
        if isinstance(piece, Statement):
            history.add(piece, piece.issuer, place_of(piece))
        else:
            history.add_leave(piece)
        if chance.random() < 0.3:
            assert history.current in history.chain  # being asked in between makes no difference either
    assert picture(history) == expected


@settings(max_examples=25, deadline=None)
@given(seeds, sizes, st.randoms(use_true_random=False))
def test_two_nodes_that_ask_each_other_agree_with_one_that_saw_everything(
    seed: int, steps: int, chance: random.Random
) -> None:
    statements, leaves = grow(seed, steps)
    left, right = knowing(ONE), knowing(ONE)
    for statement in statements:  # parents first, as nodes really issue
        for node in (left, right):
            if statement.parent in {known.id for known in node.since(b"")} and chance.random() < 0.6:
                node.add(statement, statement.issuer)
    for history in (left, right):
        for each in leaves:
            history.add_leave(each)
    for asker, answerer in ((left, right), (right, left), (left, right)):
        for statement in answerer.since(b""):
            asker.add(statement, statement.issuer)
    # What waits for want of a leave is not passed on: it may never count.
    assert picture(left) | {"waiting": None} == picture(right) | {"waiting": None}


@settings(max_examples=25, deadline=None)
@given(seeds, sizes)
def test_a_newcomer_with_the_whole_chain_agrees_with_a_founder(seed: int, steps: int) -> None:
    statements, leaves = grow(seed, steps)
    founder = knowing(ONE, *statements, leaves=tuple(leaves))
    shown = founder.chain[len(founder.chain) // 2]
    newcomer = knowing(shown, *reversed([ONE, *statements]), leaves=tuple(leaves))
    assert picture(newcomer) == picture(founder)


@settings(max_examples=25, deadline=None)
@given(seeds, sizes, st.randoms(use_true_random=False))
def test_a_history_restored_from_what_it_took_in_is_the_same(seed: int, steps: int, chance: random.Random) -> None:
    statements, leaves = grow(seed, steps)
    wrong = [follow(parent, who("stranger")) for parent in statements]  # refused, or dropped when its parent came
    kept = [(statement, place_of(statement)) for statement in [*statements, *wrong]]
    expected = picture(CircleHistory.restore([ONE], kept[: len(statements)], leaves))
    chance.shuffle(kept)
    assert picture(CircleHistory.restore([ONE], kept, leaves)) == expected


# Metamorphic twins: a change of the set that must, or must not, change the answer.


@settings(max_examples=25, deadline=None)
@given(seeds, sizes)
def test_twin_a_rotation_by_a_lower_rank_beside_the_tip_changes_nothing(seed: int, steps: int) -> None:
    statements, leaves = grow(seed, steps)
    history = knowing(ONE, *statements, leaves=tuple(leaves))
    tip, out = history.current, history.out
    high = next((node for node in tip.stewards if node not in out), None)
    low = next((node for node in reversed(tip.stewards) if node != high), None)
    if high is None or low is None:
        return
    winning = follow(tip, high, mark="winning")
    history.add(winning, high)
    expected = picture(history) | {"verdicts": None, "void": None}
    if tip.stewards.index(low) < tip.stewards.index(high):
        return
    history.add(follow(tip, low, mark="losing"), low)
    assert picture(history) | {"verdicts": None, "void": None} == expected


@settings(max_examples=25, deadline=None)
@given(seeds, sizes, st.integers(0, 13), st.sampled_from(NODES))
def test_twin_a_removal_anywhere_puts_out_everywhere(seed: int, steps: int, at: int, node: NodeId) -> None:
    statements, leaves = grow(seed, steps)
    tree = [*knowing(ONE, *statements, leaves=tuple(leaves)).since(b"")]
    parent = tree[at % len(tree)]
    issuer = parent.stewards[0]
    if node == issuer or node not in parent.roles:
        return
    removal = follow(parent, issuer, remove={node: ()}, mark="twin")
    history = knowing(ONE, *statements, removal, leaves=tuple(leaves))
    # Unless the winning branch removed and re-admitted it with a higher number, which stands for this removal.
    answered = any(later.number > removal.number and later.cuts_of(node) is not None for later in history.chain)
    kept = history.find(removal.id) is not None
    # Nor if its issuer was out by then: that is for a human.
    late = removal.id in history.lineage.void
    assert node in history.out or (node in history.current.roles and answered) or not kept or late
    assert not late or node not in history.current.roles or node in history.out | history.contested or answered


@settings(max_examples=25, deadline=None)
@given(seeds, sizes)
def test_twin_a_statement_by_rank_one_beside_the_tip_wins(seed: int, steps: int) -> None:
    statements, leaves = grow(seed, steps)
    history = knowing(ONE, *statements, leaves=tuple(leaves))
    tip, out = history.current, history.out
    low = next((node for node in reversed(tip.stewards) if node not in out), None)
    if low is None or tip.stewards[0] in out or low == tip.stewards[0]:
        return
    history.add(follow(tip, low, mark="low"), low)
    high = follow(tip, tip.stewards[0], mark="high")
    history.add(high, high.issuer)
    assert history.current == high


@settings(max_examples=25, deadline=None)
@given(seeds, sizes)
def test_whoever_is_out_is_no_recipient_and_no_steward_that_acts(seed: int, steps: int) -> None:
    statements, leaves = grow(seed, steps)
    history = knowing(ONE, *statements, leaves=tuple(leaves))
    assert history.out.isdisjoint(history.recipients())
    assert not any(history.may_issue(node) for node in history.out)


@settings(max_examples=25, deadline=None)
@given(seeds, sizes)
def test_a_winning_chain_is_unbroken_and_each_link_was_allowed(seed: int, steps: int) -> None:
    statements, leaves = grow(seed, steps)
    chain = knowing(ONE, *statements, leaves=tuple(leaves)).chain
    assert chain[0] == ONE
    for parent, child in pairwise(chain):
        assert check_successor(parent, child) <= {each.author for each in leaves}
        assert child.stewards
        assert parent.role_of(child.issuer) is S
