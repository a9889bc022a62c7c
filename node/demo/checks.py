"""What `--check` asserts, in the order of SCHEMAS §9. Each check raises `DemoFailed` with what it found."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from almenara.node.cases.secrets import local_texts
from almenara.node.demo.stage import DemoFailed, Player
from almenara.node.demo.story import SHARING, TIERS, Story, sample_cases

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORTEST_TEXT = 6  # characters; shorter ones occur in random bytes and in codes


def check(story: Story) -> None:
    """Everything that can be asserted while the nodes run."""
    _codes_agree(story)
    _allowed_cases_arrived(story)
    _others_were_refused(story)
    for player in story.players:
        _nothing_local_reached(player, story)


def _codes_agree(story: Story) -> None:
    for one, other in story.codes:
        _expect(one == other and one, "the codes of a pairing differ")


def _allowed_cases_arrived(story: Story) -> None:
    inboxes = {player.name: player.ask("inbox", "--limit", "500")["alerts"] for player in story.players}
    for shared in story.shared:
        if shared.document["consent"]["state"] not in SHARING:
            continue
        _expect(shared.alert, f"an allowed case of {shared.author.name} was refused: {shared.problem.get('type')}")
        told = {one["name"] for one in shared.alert["recipients"] if one["state"] == "stored"}
        _expect(told == {player.name for player in shared.recipients}, "an alert is not stored at every recipient")
        for player in shared.recipients:
            found = [one for one in inboxes[player.name] if one["alert_id"] == shared.alert["alert_id"]]
            _expect(len(found) == 1, f"an alert is {len(found)} times in the inbox of {player.name}")
            _expect(found[0]["view"] == shared.alert["view"], "an alert arrived with another view")
            _expect(found[0]["view"]["tier"] == TIERS.index(shared.tier) + 1, "an alert has the view of another tier")
    received = Counter(one["alert_id"] for alerts in inboxes.values() for one in alerts)
    _expect(received.total() == stored(story), "an inbox holds something that nobody sent")


def _others_were_refused(story: Story) -> None:
    _expect(len(story.shared) == len(sample_cases()), "a sample case was not tried")
    for shared in story.shared:
        if shared.document["consent"]["state"] not in SHARING:
            kind = str(shared.problem.get("type", "")).rpartition(":")[2]
            _expect(kind == "consent-missing", f"a case without a sharing consent was not refused but {kind or 'sent'}")


def _nothing_local_reached(player: Player, story: Story) -> None:
    """No text that is another's alone may stand in this player's files, log or answers."""
    own = json.dumps([one.document for one in story.shared if one.author is player], ensure_ascii=False)
    texts = {
        text
        for one in story.shared
        if one.author is not player
        for _, text in local_texts(one.document)
        if len(text) >= SHORTEST_TEXT and text not in own
    }
    for where, content in _everything(player):
        for text in texts:
            _expect(text.encode() not in content, f"a local-only text of another node stands in {where}")


def _everything(player: Player) -> Iterator[tuple[str, bytes]]:
    for path in sorted(player.home.rglob("*")):
        if path.is_file():
            yield f"{player.name}/{path.name}", path.read_bytes()
    yield f"the log of {player.name}", player.log.read_bytes()
    yield f"an answer of {player.name}", "\n".join(player.told).encode()


def nothing_is_left(players: tuple[Player, ...]) -> None:
    """After the end: no process, no file."""
    for player in players:
        _expect(player.process is not None and player.process.poll() is not None, f"{player.name} still runs")
        _expect(not player.home.parent.exists(), "the temporary folder is still there")


def stored(story: Story) -> int:
    """How many deliveries were acknowledged as stored."""
    return sum(len(shared.milliseconds) for shared in story.shared)


def summary(story: Story) -> str:
    """The last line."""
    slowest = max((ms for shared in story.shared for ms in shared.milliseconds.values()), default=0)
    refused = sum(bool(shared.problem) for shared in story.shared)
    return (
        f"demo: {len(story.players)} nodes, {len(story.shared)} cases, {stored(story)} deliveries stored, "
        f"{refused} refused, slowest {slowest} ms"
    )


def _expect(condition: Any, otherwise: str) -> None:
    if not condition:
        raise DemoFailed(otherwise)
