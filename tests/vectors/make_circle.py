"""Vectors of circles: one statement, one after another, sets of them, and who may send what under which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from make_object import slots as header_slots
from vector import NOW, bad, good, newer, node, pack, seed

from almenara.crypto.hashing import digest
from almenara.crypto.labels import Label

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vector import Vector

Body = dict[str, Any]

ALPHA, BETA, GAMMA = node("alpha").id, node("beta").id, seed("gamma")
LOW, HIGH = sorted([seed("delta"), seed("epsilon")])
DAY = 1_440
S, M, R = 1, 2, 3
EPOCH_KEY, CARRY_SECRET = seed("epoch key"), seed("carry secret")
CUT = [seed("cut incarnation", 16), 5, seed("cut header")]
FOUR_CUTS = [[bytes([number]) * 16, 0, bytes(32)] for number in range(4)]


def slots(**changes: Any) -> Body:
    """Return the slots of a good number 1 by name: two stewards, a member and a subscriber."""
    good_one = {
        "ver": 1,
        "circle": b"",
        "number": 1,
        "parent": b"",
        "issuer": ALPHA,
        "issued_min": NOW,
        "name": "c-andes",
        "tier": 2,
        "max_tlp": 3,
        "retention_days": 90,
        "members": [[ALPHA, S], [BETA, S], [LOW, M], [HIGH, R]],
        "removed": [],
        "key_commit": digest(Label.KEY_COMMIT, EPOCH_KEY),
        "carry_commit": digest(Label.CARRY_COMMIT, CARRY_SECRET),
    }
    return good_one | changes


def body(values: Body) -> bytes:
    """Return the bytes of a statement."""
    return pack(*values.values())


def circle_of(one: Body) -> bytes:
    """Return the id of the circle that this number 1 founds."""
    return digest(Label.CIRCLE_ID, body(one))[:16]


def id_of(values: Body) -> bytes:
    """Return a statement's id."""
    return digest(Label.STATEMENT_ID, body(values))[:16]


def after(parent: Body, /, **changes: Any) -> Body:
    """Return a good rotation after this parent, with changes by name."""
    follows = {
        "circle": parent["circle"] or circle_of(parent),
        "number": parent["number"] + 1,
        "parent": id_of(parent),
        "issued_min": parent["issued_min"] + DAY,
        "removed": [],
        "key_commit": seed(f"key of {parent['number'] + 1} {sorted(changes)} {changes.get('issuer')!r}"),
    }
    return parent | follows | changes


def without(parent: Body, gone: bytes, cuts: list[Any], /, **changes: Any) -> Body:
    """Return a statement that removes one member."""
    members = [entry for entry in parent["members"] if entry[0] != gone]
    return after(parent, members=members, removed=[[gone, cuts]], carry_commit=seed("new carry"), **changes)


ONE = slots()
CROWD = [[ALPHA, S], *([seed(f"{number:03}"), M] for number in range(100))]
DIRECT = slots(name="", tier=1, max_tlp=4, members=[[ALPHA, S], [BETA, S]])
TWO = without(ONE, LOW, [CUT])

BAD_STATEMENTS: list[tuple[str, str, str, Body]] = [
    ("unknown-version", "version-zero", "there was no version 0", slots(ver=0)),
    ("wrong-length", "first-names-a-circle", "the circle is the hash of this body", slots(circle=bytes(16))),
    ("wrong-length", "first-names-a-parent", "number 1 has none", slots(parent=bytes(16))),
    ("wrong-length", "second-without-circle", "from number 2 on", slots(number=2, parent=bytes(16))),
    ("wrong-length", "second-without-parent", "from number 2 on", slots(number=2, circle=bytes(16))),
    ("out-of-range", "number-zero", "numbers begin at 1", slots(number=0)),
    ("not-allowed", "first-by-rank-two", "rank 1 founds", slots(issuer=BETA)),
    ("not-allowed", "first-by-a-member", "a steward founds", slots(issuer=LOW)),
    ("wrong-count", "first-removes-somebody", "nobody was in before", slots(removed=[[GAMMA, []]])),
    ("no-steward", "without-steward", "only a member", slots(members=[[ALPHA, M]])),
    ("wrong-count", "without-members", "nobody", slots(members=[])),
    (
        "wrong-count",
        "101-members",
        "100 at most",
        slots(members=[[ALPHA, S], *([seed(f"{n:03}"), M] for n in range(100))]),
    ),
    ("repeated", "member-twice", "with two roles", slots(members=[[ALPHA, S], [BETA, S], [BETA, M]])),
    ("not-sorted", "members-falling", "members by node id", slots(members=[[ALPHA, S], [HIGH, M], [LOW, M]])),
    ("not-sorted", "steward-last", "stewards come first", slots(members=[[LOW, M], [ALPHA, S]], issuer=ALPHA)),
    ("out-of-range", "role-four", "1 to 3 exist", slots(members=[[ALPHA, S], [LOW, 4]])),
    ("out-of-range", "tier-four", "the public tier has no circle", slots(tier=4)),
    ("out-of-range", "retention-367-days", "366 at most", slots(retention_days=367)),
    ("out-of-range", "group-with-red", "TLP:RED is for direct circles", slots(max_tlp=4)),
    ("wrong-length", "name-81-bytes", "80 at most", slots(name="n" * 81)),
    ("not-nfc", "name-decomposed", "e and an accent apart", slots(name="Jose\u0301")),
    ("wrong-length", "key-commit-31-bytes", "cut short", slots(key_commit=bytes(31))),
    ("wrong-count", "direct-with-three", "two stewards", DIRECT | {"members": [[ALPHA, S], [BETA, S], [GAMMA, S]]}),
    ("wrong-count", "direct-with-a-member", "two stewards", DIRECT | {"members": [[ALPHA, S], [BETA, M]]}),
    ("out-of-range", "direct-for-the-network", "tier partner", DIRECT | {"tier": 2}),
    ("out-of-range", "direct-below-red", "ceiling TLP:RED", DIRECT | {"max_tlp": 3}),
    ("not-allowed", "direct-removes", "nobody", after(DIRECT, removed=[[GAMMA, []]])),
    ("removed", "removed-and-member", "both at once", after(ONE, removed=[[LOW, []]])),
    ("repeated", "removed-twice", "the same node", after(ONE, removed=[[GAMMA, []], [GAMMA, []]])),
    (
        "wrong-count",
        "four-cuts",
        "three at most",
        without(ONE, LOW, FOUR_CUTS),
    ),
    ("repeated", "incarnation-cut-twice", "one place", without(ONE, LOW, [CUT, [CUT[0], 6, CUT[2]]])),
    (
        "not-sorted",
        "cuts-falling",
        "by incarnation",
        without(ONE, LOW, FOUR_CUTS[1::-1]),
    ),
]
BAD_CHILDREN: list[tuple[str, str, str, Body, Body]] = [
    ("wrong-circle", "of-another-circle", "another number 1", ONE, after(ONE, circle=bytes(16))),
    ("unknown-parent", "of-another-parent", "a parent that is not this one", ONE, after(ONE, parent=bytes(16))),
    ("wrong-number", "number-skipped", "3 after 1", ONE, after(ONE, number=3)),
    ("too-early", "before-its-parent", "a minute earlier", ONE, after(ONE, issued_min=NOW - 1)),
    ("not-allowed", "by-a-member", "only stewards issue", ONE, after(ONE, issuer=LOW)),
    ("not-allowed", "by-a-stranger", "no member at all", ONE, after(ONE, issuer=GAMMA)),
    ("not-allowed", "other-tier", "another audience is another circle", ONE, after(ONE, tier=1)),
    (
        "not-allowed",
        "direct-becomes-group",
        "by a name and a third member",
        DIRECT,
        after(DIRECT, name="group", max_tlp=3, members=[[ALPHA, S], [BETA, S], [GAMMA, M]], carry_commit=seed("c")),
    ),
    (
        "not-allowed",
        "group-becomes-direct",
        "RED by the back door",
        slots(tier=1, members=[[ALPHA, S], [BETA, S]]),
        after(slots(tier=1, members=[[ALPHA, S], [BETA, S]]), name="", max_tlp=4),
    ),
    ("not-allowed", "direct-ranks-turned", "the same two", DIRECT, after(DIRECT, members=[[BETA, S], [ALPHA, S]])),
    ("key-not-fresh", "key-kept", "every statement has a fresh key", ONE, after(ONE, key_commit=ONE["key_commit"])),
    (
        "key-not-fresh",
        "carry-kept-with-a-newcomer",
        "newcomers get no scope of the past",
        ONE,
        after(ONE, members=[[ALPHA, S], [BETA, S], [GAMMA, S], [LOW, M], [HIGH, R]]),
    ),
    (
        "key-not-fresh",
        "carry-kept-without-one",
        "the removed get no scope of the future",
        ONE,
        without(ONE, LOW, [CUT]) | {"carry_commit": ONE["carry_commit"]},
    ),
    ("removed", "dropped-unnamed", "who goes is named", ONE, without(ONE, LOW, []) | {"removed": []}),
    (
        "not-sorted",
        "ranks-turned",
        "a steward lifts itself",
        ONE,
        after(ONE, issuer=BETA, members=[[BETA, S], [ALPHA, S], [LOW, M], [HIGH, R]]),
    ),
    (
        "not-sorted",
        "newcomer-above-old-stewards",
        "new stewards come last",
        ONE,
        after(ONE, members=[[GAMMA, S], [ALPHA, S], [BETA, S], [LOW, M], [HIGH, R]], carry_commit=seed("c")),
    ),
    (
        "rank-too-low",
        "lowers-a-higher-rank",
        "beta makes alpha a subscriber",
        ONE,
        after(ONE, issuer=BETA, members=[[BETA, S], *sorted([[LOW, M], [HIGH, R], [ALPHA, R]])]),
    ),
]


def vectors() -> Iterator[Vector]:
    """Yield the vectors of this file."""
    yield from _statements()
    yield from _children()
    yield from _circles()
    yield from _authors()


def _statements() -> Iterator[Vector]:
    for name, about, values in (
        ("number-one", "a group of four", ONE),
        ("direct", "a direct circle: no name, two stewards", DIRECT),
        ("removal", "number 2 removes a member with one cut", TWO),
    ):
        yield good(
            "statement",
            name,
            about,
            {"body": body(values)},
            circle=values["circle"] or circle_of(values),
            hash=digest(Label.STATEMENT_ID, body(values)),
            direct=values["name"] == "",
            stewards=[entry[0] for entry in values["members"] if entry[1] == S],
        )
    for defect, name, about, values in BAD_STATEMENTS:
        yield bad(defect, "statement", name, about, body=body(values))
    yield newer("unknown-version", "statement", "version-two", "of the future", body=pack(2, "anything"))
    yield bad("too-deep", "statement", "deeper-future", "newer, but deeper than arrays go", body=pack(2, [[[[[1]]]]]))


def _children() -> Iterator[Vector]:
    kind = "statement-after"
    rotation = after(ONE, issuer=BETA)
    yield good(kind, "rotation", "by rank 2", {"parent": body(ONE), "child": body(rotation)}, out_of_reach=[])
    lower = without(ONE, ALPHA, [], issuer=BETA)
    yield good(
        kind,
        "removes-a-higher-rank",
        "it rests on alpha's own leave",
        {"parent": body(ONE), "child": body(lower)},
        out_of_reach=[ALPHA],
    )
    for defect, name, about, parent, child in BAD_CHILDREN:
        yield bad(defect, kind, name, about, parent=body(parent), child=body(child))


LEAVE = {"author": LOW, "statement": id_of(ONE), "incarnation": CUT[0], "seq": 7, "hash": seed("leave"), "created": NOW}


def _circles() -> Iterator[Vector]:
    """Sets of statements and leaves; a reader must find the same in whatever order it takes them."""
    by_alpha, by_beta = after(ONE), after(ONE, issuer=BETA)
    unfair = without(ONE, ALPHA, [], issuer=BETA)
    removing = without(ONE, LOW, [CUT], issuer=BETA)
    again = without(by_alpha, LOW, [CUT])
    back = after(again, members=ONE["members"], carry_commit=seed("third carry"))
    forks = sorted((after(ONE, name="one"), after(ONE, name="two")), key=id_of)
    two = [by_beta, by_alpha]
    yield _circle("higher-rank-wins", "two stewards at once", two, by_alpha)
    yield _circle("lower-hash-wins", "two by one issuer", forks[::-1], forks[0])
    yield _circle("removal-on-a-losing-branch", "it holds all the same", [removing, by_alpha], by_alpha, [LOW])
    yield _circle("re-issued-and-re-admitted", "it is answered", [removing, by_alpha, again, back], back)
    yield _circle("leave", "before any statement says so", [by_alpha], by_alpha, [LOW], leaves=[LEAVE])
    yield _circle("unfair-removal", "of a higher rank, which did not leave", [unfair], ONE)
    yield _circle("parent-unknown", "it waits", [after(by_alpha)], ONE)
    three = slots(members=[[ALPHA, S], [GAMMA, S], [BETA, S]])
    rotation = after(three, issuer=BETA)
    removal, late = without(rotation, GAMMA, [], issuer=ALPHA), after(three, issuer=GAMMA)
    rivals = [rotation, removal, late]
    yield _circle("late-rival", "a removed steward cannot displace its removal", rivals, removal, [GAMMA], anchor=three)

    everybody = without(three, BETA, [], issuer=GAMMA)
    attack = [rotation, removal, everybody]
    yield _circle("late-removal", "a removed steward removes nobody", attack, removal, [GAMMA], anchor=three)
    cutting = without(rotation, GAMMA, [CUT], issuer=ALPHA)
    late = [CUT[0], CUT[1] + 1, seed("late")]
    for name, about, place, current, out in (
        ("removal-at-the-cut", "the last word that counts, and by rank it wins", CUT, everybody, sorted([BETA, GAMMA])),
        ("removal-after-the-cut", "one number too high", late, cutting, [GAMMA]),
    ):
        told = [rotation, cutting, everybody]
        yield _circle(name, about, told, current, out, anchor=three, places=[[], [], place])


def _circle(
    name: str,
    about: str,
    statements: list[Body],
    current: Body,
    out: Sequence[bytes] = (),
    *,
    leaves: Sequence[Body] = (),
    anchor: Body = ONE,
    places: Sequence[Sequence[Any]] = (),
) -> Vector:
    given = {"anchor": body(anchor), "statements": [body(each) for each in statements], "leaves": leaves}
    if places:
        given["places"] = places  # where each statement's object stands in its issuer's chain, if known
    return good("circle", name, about, given, current=id_of(current), out=out)


BAD_AUTHORS = [
    ("wrong-circle", "other-circle", "of another circle", {"circle": bytes(16)}),
    ("wrong-statement", "unknown-statement", "nobody knows it", {"statement": bytes(16)}),
    ("unknown-author", "stranger", "no member", {"author": GAMMA}),
    ("not-allowed", "alert-by-subscriber", "a subscriber receives and answers", {"author": HIGH}),
    ("not-allowed", "update-by-subscriber", "and updates nothing", {"author": HIGH, "type": 2}),
    ("not-allowed", "invite-in-a-group", "invitations go through direct circles", {"type": 17}),
    ("not-allowed", "statement-by-member", "a steward's word", {"type": 12, "ref_id": b"", "author": LOW}),
    ("out-of-range", "above-the-ceiling", "RED in a group", {"tlp": 4}),
    ("after-successor", "49-hours-late", "the next statement was known", {"created_min": NOW + 3 * DAY + 1}),
    ("after-cut", "after-the-cut", "one number too high", {"author": LOW, "incarnation": CUT[0], "seq": 6}),
    ("after-cut", "uncut-incarnation", "one nobody had seen", {"author": LOW, "incarnation": bytes(16), "seq": 0}),
    (
        "after-cut",
        "other-header-at-the-cut",
        "same number, other hash",
        {"author": LOW, "incarnation": CUT[0], "seq": 5},
    ),
]


def _authors() -> Iterator[Vector]:
    kind = "author"
    places = {"circle": circle_of(ONE), "statement": id_of(ONE), "prev": seed("previous")}
    given = {"anchor": body(ONE), "statements": [body(TWO)], "leaves": []}

    def header(**changes: Any) -> bytes:
        made = header_slots(**(places | changes))
        if made["expires_min"]:
            made["expires_min"] = made["created_min"] + DAY
        return pack(*made.values())

    yield good(kind, "alert-by-steward", "under the statement before", given | {"header": header()}, role=S)
    before = header(author=LOW, incarnation=CUT[0], seq=4)
    yield good(kind, "before-the-cut", "a removed member", given | {"header": before}, role=M)
    for defect, name, about, changes in BAD_AUTHORS:
        yield bad(defect, kind, name, about, **given, header=header(**changes))
    direct = {"anchor": body(DIRECT), "statements": [], "leaves": []}
    leave = header(circle=circle_of(DIRECT), statement=id_of(DIRECT), type=13, ref_id=b"")
    yield bad("not-allowed", kind, "leave-a-direct-circle", "it ends with the pairing", **direct, header=leave)
