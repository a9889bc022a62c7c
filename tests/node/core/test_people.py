"""The people of an office: the first one, signing in, idling out, and who must stay (SCHEMAS §7)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from almenara.node import people as people_module
from almenara.node.people import FIRST_CODE_MINUTES, FIRST_CODE_TRIES, LOCAL, SIGN_IN_TRIES, FirstCode
from almenara.node.problem import Kind, Problem

if TYPE_CHECKING:
    from almenara.node.service import Service
    from tests.support.mesh import Mesh, Office

PASSWORD = "four unrelated words here"


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id is tested elsewhere; here only that it is asked."""

    def check(hashed: str, password: str) -> None:
        if hashed != f"hash of {password}":
            raise people_module.WrongPassword

    monkeypatch.setattr(people_module, "hash_password", lambda password: f"hash of {password}")
    monkeypatch.setattr(people_module, "check_password", check)


async def refused(work: object) -> Problem:
    """The problem that a call ends with."""
    with pytest.raises(Problem) as caught:
        await work  # type: ignore[misc]
    return caught.value


async def unsettled(mesh: Mesh) -> tuple[Office, Service, str]:
    """A node without people, and the code that `run` prints."""
    office = await mesh.office("alpha")
    code = office.service.first_code = FirstCode(mesh.clock)
    return office, office.service, code.code


async def test_the_first_person_is_whoever_reads_the_code(mesh: Mesh) -> None:
    """In any spelling of the digits; then the code is spent, and the person is admin and signed in."""
    _, service, code = await unsettled(mesh)
    assert await service.needs_first_person()
    signed_in = await service.add_first_person(code.replace(" ", "-"), "ana", PASSWORD)
    assert (signed_in.actor.name, signed_in.actor.role) == ("ana", "admin")
    assert not await service.needs_first_person()
    assert (await refused(service.add_first_person(code, "eva", PASSWORD))).kind is Kind.NOT_ALLOWED


async def test_the_code_lives_a_quarter_of_an_hour(mesh: Mesh) -> None:
    """To the minute."""
    _, service, code = await unsettled(mesh)
    mesh.advance(minutes=FIRST_CODE_MINUTES)
    mesh.now += 1
    problem = await refused(service.add_first_person(code, "ana", PASSWORD))
    assert (problem.kind, problem.field, bool(problem.next)) == (Kind.NOT_ALLOWED, "code", True)


async def test_the_code_allows_five_tries(mesh: Mesh) -> None:
    """The right one comes too late after five wrong ones."""
    _, service, code = await unsettled(mesh)
    wrong = "0000 0000 0000" if code != "0000 0000 0000" else "1111 1111 1111"
    for _ in range(FIRST_CODE_TRIES):
        assert (await refused(service.add_first_person(wrong, "ana", PASSWORD))).kind is Kind.NOT_ALLOWED
    assert (await refused(service.add_first_person(code, "ana", PASSWORD))).kind is Kind.NOT_ALLOWED
    assert await service.needs_first_person()


async def test_two_at_once_with_the_right_code_make_one_person(mesh: Mesh) -> None:
    """The second finds somebody there."""
    _, service, code = await unsettled(mesh)
    results = await asyncio.gather(
        *(service.add_first_person(code, name, PASSWORD) for name in ("ana", "eva")), return_exceptions=True
    )
    assert sum(isinstance(result, Problem) for result in results) == 1
    assert len((await service.people(LOCAL)).people) == 1


async def test_a_password_too_short_does_not_cost_the_code(mesh: Mesh) -> None:
    """Said with its length, never with its text."""
    _, service, code = await unsettled(mesh)
    problem = await refused(service.add_first_person(code, "ana", "short"))
    assert (problem.kind, problem.field, problem.got) == (Kind.WRONG_TYPE, "password", "5")
    await service.add_first_person(code, "ana", PASSWORD)


async def test_signing_in_never_says_what_was_wrong(mesh: Mesh) -> None:
    """An unknown name and a wrong password end alike."""
    office = await mesh.office("alpha")
    await office.service.add_person(LOCAL, "ana", "case worker", PASSWORD)
    assert (await office.service.sign_in(" ana ", PASSWORD)).actor.role == "case worker"
    answers = [(await refused(office.service.sign_in(name, "wrong"))).as_json() for name in ("ana", "nobody")]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("at_once", [False, True])
async def test_wrong_passwords_make_a_name_wait(mesh: Mesh, at_once: bool) -> None:
    """One after another or all together: after five tries not even the right one for a minute."""
    office = await mesh.office("alpha")
    await office.service.add_person(LOCAL, "ana", "admin", PASSWORD)
    tries = [office.service.sign_in("ana", "wrong") for _ in range(2 * SIGN_IN_TRIES)]
    if at_once:
        problems = list(await asyncio.gather(*tries, return_exceptions=True))
    else:
        problems = [await refused(one) for one in tries]
    waits = [problem for problem in problems if isinstance(problem, Problem) and problem.next]
    assert len(waits) == SIGN_IN_TRIES
    assert (await refused(office.service.sign_in("ana", PASSWORD))).next
    await refused(office.service.sign_in("eva", PASSWORD))
    mesh.advance(minutes=1)
    assert (await office.service.sign_in("ana", PASSWORD)).actor.name == "ana"


async def test_a_session_idles_out_and_being_used_keeps_it(mesh: Mesh) -> None:
    """`panel.idle_minutes` after the last use."""
    office = await mesh.office("alpha", more="[panel]\nidle_minutes = 30\n")
    await office.service.add_person(LOCAL, "ana", "viewer", PASSWORD)
    token = (await office.service.sign_in("ana", PASSWORD)).token
    for _ in range(3):
        mesh.advance(minutes=29)
        session = await office.service.session(token)
        assert session is not None
        assert session.actor.name == "ana"
    mesh.advance(minutes=31)
    assert await office.service.session(token) is None


async def test_sessions_end_with_sign_out_password_and_person(mesh: Mesh) -> None:
    """Each at once; a session of somebody else goes on."""
    office = await mesh.office("alpha")
    service = office.service
    for name, role in (("ana", "admin"), ("eva", "viewer")):
        await service.add_person(LOCAL, name, role, PASSWORD)
    other = (await service.sign_in("ana", PASSWORD)).token
    first = await service.sign_in("eva", PASSWORD)
    await service.sign_out(first.token)
    assert await service.session(first.token) is None
    second = await service.sign_in("eva", PASSWORD)
    await service.set_password(second.actor, "eva", "another long password")
    assert await service.session(second.token) is None
    third = await service.sign_in("eva", "another long password")
    await service.remove_person(LOCAL, "eva")
    assert await service.session(third.token) is None
    assert await service.session(other) is not None


async def test_somebody_stays_admin(mesh: Mesh) -> None:
    """The last one cannot be removed; with a second it can."""
    office = await mesh.office("alpha")
    service = office.service
    await service.add_person(LOCAL, "ana", "admin", PASSWORD)
    await service.add_person(LOCAL, "eva", "viewer", PASSWORD)
    assert (await refused(service.remove_person(LOCAL, "ana"))).field == "name"
    await service.add_person(LOCAL, "ida", "admin", PASSWORD)
    await service.remove_person(LOCAL, "ana")
    assert [person.name for person in (await service.people(LOCAL)).people] == ["eva", "ida"]


@pytest.mark.parametrize(
    ("name", "role", "kind", "field"),
    [
        ("ana", "admin", Kind.NOT_ALLOWED, "name"),
        ("Local  command line", "admin", Kind.NOT_ALLOWED, "name"),  # what the audit calls the command line
        ("  ", "admin", Kind.WRONG_TYPE, "name"),
        ("a\x00b", "admin", Kind.TOO_LONG, "name"),
        ("ن" * 41, "admin", Kind.TOO_LONG, "name"),
        ("eva", "owner", Kind.UNKNOWN_CODE, "role"),
    ],
)
async def test_a_person_that_cannot_be_is_refused_with_the_field(
    mesh: Mesh, name: str, role: str, kind: Kind, field: str
) -> None:
    """Names are on one line, of at most 80 bytes, and each there once."""
    office = await mesh.office("alpha")
    await office.service.add_person(LOCAL, "ana", "admin", PASSWORD)
    problem = await refused(office.service.add_person(LOCAL, name, role, PASSWORD))
    assert (problem.kind, problem.field) == (kind, field)


async def test_what_people_did_is_written_down(mesh: Mesh) -> None:
    """Who, what and to whom; the first person stands there under its own name."""
    office, service, code = await unsettled(mesh)
    ana = await service.add_first_person(code, "ana", PASSWORD)
    await service.add_person(ana.actor, "eva", "viewer", PASSWORD)
    await service.remove_person(LOCAL, "eva")
    async with office.store.read() as tx:
        rows = [(row.who, row.what, row.ref) for row in await tx.audit.recent(10)]
    assert rows == [
        ("local command line", "remove person", "eva"),
        ("ana", "add person", "eva"),
        ("ana", "first person", ""),
    ]
