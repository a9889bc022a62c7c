"""The log holds what its list names and nothing else: canaries at the lowest level, in exceptions and in libraries."""

from __future__ import annotations

import io
import json
import logging
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from almenara.node import log
from almenara.node.config import Log

if TYPE_CHECKING:
    from collections.abc import Iterator

CANARY = "CANARY-7d1e"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Give tests after these their own logging back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def out() -> io.StringIO:
    stream = io.StringIO()
    log.configure(Log(level="debug", format="json"), stream)
    return stream


def events(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_an_event_has_its_name_level_time_and_allowed_fields(out: io.StringIO) -> None:
    structlog.get_logger().warning("envelope-refused", peer="abcdefgh", defect="bad-tag", count=3)
    (event,) = events(out)
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "envelope-refused",
        "level": "warning",
        "peer": "abcdefgh",
        "defect": "bad-tag",
        "count": 3,
    }


def test_what_the_list_does_not_name_is_dropped_and_counted(out: io.StringIO) -> None:
    structlog.get_logger().debug("case-saved", title=CANARY, person={"name": CANARY}, count=1)
    (event,) = events(out)
    assert (event["dropped"], event["count"]) == (2, 1)
    assert CANARY not in out.getvalue()


@pytest.mark.parametrize("name", sorted(log.TEXT_FIELDS))
@pytest.mark.parametrize(
    "value", [f"{CANARY} a sentence", f"{CANARY}@example.org", {"a": CANARY}, CANARY.encode(), "é"]
)
def test_an_allowed_field_holds_a_word_and_no_sentence(out: io.StringIO, name: str, value: object) -> None:
    structlog.get_logger().debug("something", **{name: value})
    assert events(out)[0]["dropped"] == 1
    assert CANARY not in out.getvalue()


@pytest.mark.parametrize("address", ["192.0.2.7", "192.0.2.7:7790", "[2001:db8::7]:7790", "2001:db8::7"])
def test_no_field_holds_an_address(out: io.StringIO, address: str) -> None:
    structlog.get_logger().info("link-lost", peer=address, reason=address)
    assert events(out)[0]["dropped"] == 2
    assert address not in out.getvalue()


def test_a_number_is_a_number(out: io.StringIO) -> None:
    structlog.get_logger().info("something", count=CANARY, lane=True)
    assert events(out)[0]["dropped"] == 2


def test_an_events_name_is_a_constant_never_a_formatted_sentence(out: io.StringIO) -> None:
    structlog.get_logger().info(f"case {CANARY} was saved")
    assert events(out)[0] | {"timestamp": ""} == {"event": "unnamed", "level": "info", "dropped": 1, "timestamp": ""}


def test_an_exception_is_its_type_and_an_id_never_its_text_or_trace(out: io.StringIO) -> None:
    def fail(secret: str) -> None:
        raise ValueError(f"could not read {secret}")

    try:
        fail(CANARY)
    except ValueError as error:
        structlog.get_logger().exception("batch-failed")
        structlog.get_logger().error("batch-failed", exc_info=error)
    first, second = events(out)
    assert (first["error"], second["error"]) == ("ValueError", "ValueError")
    assert first["id"] != second["id"]
    assert CANARY not in out.getvalue()
    assert "Traceback" not in out.getvalue()


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR"])
def test_libraries_are_heard_without_their_words(out: io.StringIO, level: str) -> None:
    """Aiosqlite tells every statement with its values at DEBUG, aiohttp tells addresses."""
    library = logging.getLogger("aiosqlite.core")
    library.log(logging.getLevelName(level), "executing %s", CANARY, exc_info=OSError(CANARY))
    assert CANARY not in out.getvalue()
    if level in {"WARNING", "ERROR"}:
        assert events(out)[0]["event"] == "library"
        assert (events(out)[0]["kind"], events(out)[0]["error"]) == ("aiosqlite", "OSError")
    else:
        assert events(out) == []


def test_warnings_are_heard_without_their_words(out: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        log.configure(Log(format="json"), out)
        warnings.warn(CANARY, stacklevel=1)
    assert [event["event"] for event in events(out)] == ["library"]
    assert CANARY not in out.getvalue()


def test_the_level_of_the_configuration_counts() -> None:
    out = io.StringIO()
    log.configure(Log(level="warning", format="json"), out)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [event["event"] for event in events(out)] == ["loud"]


def test_on_a_terminal_words_elsewhere_json() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        log.configure(Log(), stream)
        structlog.get_logger().info("started", title=CANARY)
    assert not terminal.getvalue().lstrip().startswith("{")
    assert "started" in terminal.getvalue()
    assert json.loads(file.getvalue())["event"] == "started"
    assert CANARY not in terminal.getvalue() + file.getvalue()
