"""Strict msgpack: positional arrays of integers, byte strings, text and arrays, in the one encoding each value has.

Plain msgpack gives one value several encodings (long forms of integers and lengths, several float widths), so a signed
report could exist twice.  Here a reader caps the size, decodes with every limit set, checks exact types, and refuses
what does not encode to the same bytes again.  Every structure of the protocol is a `Shape`: named slots in a fixed
order, each with its check.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import msgpack

from almenara.protocol.errors import Defect, LocalError, NewerVersion, RemoteError
from almenara.protocol.limits import MAX_CODE, MAX_DEPTH, MAX_ENDPOINT, MAX_FRAME, MAX_ITEMS, UINT16, UINT32, VERSION

Check: TypeAlias = Callable[[object, str], None]
"""Takes a decoded value and the name of its slot; raises RemoteError if the slot may not hold it."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_CONTROL_IN_LINES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # newline and tab are let through
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:+_-]*")
_COUNTRY = re.compile(r"[A-Z]{2}")
_ENDPOINT = re.compile(r"(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]{2,45}\]):([1-9][0-9]{0,4})")

_PACK_BUFFER = 1_024  # bytes; it grows, and msgpack's own default of 256 KiB costs more to get than to fill


def _pack(value: object) -> bytes:
    # A packer of its own for each call: a shared one could be entered twice, by threads or a finalizer, and mix bytes.
    packed: bytes = msgpack.Packer(strict_types=True, buf_size=_PACK_BUFFER).pack(value)
    return packed


def encode(value: Sequence[Any]) -> bytes:
    """Encode an array of integers, byte strings, text and arrays.

    Raises:
        LocalError: the array holds another type, text with a lone surrogate, or is nested too deep.

    """
    try:
        _check_tree(value, 0)
        return _pack(value)
    except RemoteError as error:
        raise LocalError.like(error) from None
    except (ValueError, TypeError, OverflowError):
        raise LocalError(Defect.MALFORMED, expected="a value the codec can carry") from None


def decode(data: bytes, max_bytes: int = MAX_FRAME) -> list[Any]:
    """Decode one canonical array of any shape of at most `max_bytes` bytes.

    Raises:
        RemoteError: TOO_LONG, MALFORMED, WRONG_TYPE, TOO_DEEP or NOT_CANONICAL.

    """
    values = _unpack(data, max_bytes)
    _check_tree(values, 0)
    _check_canonical(values, data)
    return values


def _unpack(data: bytes, max_bytes: int) -> list[Any]:
    if len(data) > max_bytes:
        raise RemoteError(Defect.TOO_LONG, expected=f"at most {max_bytes} bytes", got=f"{len(data)} bytes")
    try:
        values = msgpack.unpackb(
            data,
            raw=False,
            use_list=True,
            strict_map_key=True,
            max_str_len=max_bytes,
            max_bin_len=max_bytes,
            max_array_len=MAX_ITEMS,
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, msgpack.exceptions.UnpackException):
        raise RemoteError(Defect.MALFORMED, expected="one msgpack array within the limits") from None
    if type(values) is not list:
        raise wrong_type("", "array", values)
    return values


def _check_tree(value: object, depth: int) -> None:
    """Refuse every type but the four, and arrays inside more than MAX_DEPTH others."""
    kind = type(value)
    if kind is list or kind is tuple:
        if depth > MAX_DEPTH:
            raise RemoteError(Defect.TOO_DEEP, expected=f"at most {MAX_DEPTH} arrays around an array")
        for item in value:  # type: ignore[attr-defined]  # it is a list or a tuple
            _check_tree(item, depth + 1)
    elif kind is not int and kind is not bytes and kind is not str:
        raise wrong_type("", "integer, bytes, text or array", value)


def _check_canonical(values: list[Any], data: bytes) -> None:
    if _pack(values) != data:
        raise RemoteError(Defect.NOT_CANONICAL, expected="the shortest encoding")


def wrong_type(name: str, expected: str, value: object) -> RemoteError:
    """Return the error for a value of another type than the slot's."""
    return RemoteError(Defect.WRONG_TYPE, name, expected, type(value).__name__)


def integer(low: int = 0, high: int = UINT32) -> Check:
    """Require an integer from `low` to `high`, both included; a boolean is none."""

    def check(value: object, name: str) -> None:
        if type(value) is not int:
            raise wrong_type(name, "integer", value)
        if not low <= value <= high:
            raise RemoteError(Defect.OUT_OF_RANGE, name, f"{low} to {high}", "an integer outside")

    return check


def octets(*lengths: int) -> Check:
    """Require bytes of one of the given lengths; `octets(0, 16)` is an optional id."""

    def check(value: object, name: str) -> None:
        if type(value) is not bytes:
            raise wrong_type(name, "bytes", value)
        if len(value) not in lengths:
            wanted = " or ".join(str(length) for length in lengths)
            raise RemoteError(Defect.WRONG_LENGTH, name, f"{wanted} bytes", f"{len(value)} bytes")

    return check


def blob(high: int, low: int = 0) -> Check:
    """Require bytes from `low` to `high` long."""

    def check(value: object, name: str) -> None:
        if type(value) is not bytes:
            raise wrong_type(name, "bytes", value)
        if not low <= len(value) <= high:
            raise RemoteError(Defect.WRONG_LENGTH, name, f"{low} to {high} bytes", f"{len(value)} bytes")

    return check


def text(high: int, low: int = 0, *, lines: bool = False) -> Check:
    """Require NFC text of `low` to `high` UTF-8 bytes, no control characters; `lines` lets newline and tab through."""
    control = _CONTROL_IN_LINES if lines else _CONTROL

    def check(value: object, name: str) -> None:
        if type(value) is not str:
            raise wrong_type(name, "text", value)
        _check_length(value, low, high, name)
        if control.search(value):
            raise RemoteError(Defect.CONTROL_CHARACTER, name, "no control character")
        if not value.isascii() and not unicodedata.is_normalized("NFC", value):
            raise RemoteError(Defect.NOT_NFC, name, "text in NFC")

    return check


def _check_length(value: str, low: int, high: int, name: str) -> None:
    try:
        length = len(value) if value.isascii() else len(value.encode())
    except UnicodeEncodeError:  # a lone surrogate: only our own side can make one, the decoder refuses it
        raise RemoteError(Defect.MALFORMED, name, "text without lone surrogates") from None
    if not low <= length <= high:
        raise RemoteError(Defect.WRONG_LENGTH, name, f"{low} to {high} bytes of UTF-8", f"{length} bytes")


def _pattern(pattern: re.Pattern[str], high: int, meaning: str, *, optional: bool) -> Check:
    def check(value: object, name: str) -> None:
        if type(value) is not str:
            raise wrong_type(name, "text", value)
        if optional and not value:
            return
        if len(value) > high:
            raise RemoteError(Defect.WRONG_LENGTH, name, f"at most {high} bytes", f"{len(value)} characters")
        if not pattern.fullmatch(value):
            raise RemoteError(Defect.BAD_FORM, name, meaning)

    return check


def code(*, optional: bool = False) -> Check:
    """Require a code of the vocabulary; unknown ones pass, they are kept and shown."""
    return _pattern(_CODE, MAX_CODE, "a code of letters, digits and . : + _ -", optional=optional)


def country(*, optional: bool = False) -> Check:
    """Require two capital letters (ISO 3166-1 alpha-2, and XK)."""
    return _pattern(_COUNTRY, 2, "two capital letters", optional=optional)


def endpoint() -> Check:
    """Require `host:port` with a DNS name, an IPv4 address or an IPv6 address in brackets, in lower case."""
    form = _pattern(_ENDPOINT, MAX_ENDPOINT, "host:port in lower case", optional=False)

    def check(value: object, name: str) -> None:
        form(value, name)
        if int(str(value).rpartition(":")[2]) > UINT16:
            raise RemoteError(Defect.OUT_OF_RANGE, name, f"a port from 1 to {UINT16}")

    return check


def array(item: Check, high: int, low: int = 0, *, rising: bool = False) -> Check:
    """Require an array of `low` to `high` items that pass `item`; `rising` demands a strictly rising order."""

    def check(value: object, name: str) -> None:
        if type(value) is not list:
            raise wrong_type(name, "array", value)
        if not low <= len(value) <= high:
            raise RemoteError(Defect.WRONG_COUNT, name, f"{low} to {high} items", f"{len(value)} items")
        for entry in value:
            item(entry, name)
        if rising and any(a >= b for a, b in pairwise(value)):
            raise RemoteError(Defect.NOT_SORTED, name, "a strictly rising order")

    return check


class Shape:
    """A structure of the wire: its name, and its slots in order.

    With `version`, slot 0 holds the version and is looked at before the number of slots, so that a structure of a
    later version is told apart (NewerVersion) from a broken one.  A Shape is itself a Check, for arrays of structures.
    """

    def __init__(self, title: str, *slots: tuple[str, Check], version: int | None = None) -> None:
        self.title = title
        self.version = version
        self.slots = (("ver", integer(version, version)), *slots) if version is not None else slots
        self._width = len(self.slots)

    def __call__(self, value: object, name: str) -> None:
        """Check one decoded structure inside another; `name` is the slot that holds it."""
        if type(value) is not list:
            raise wrong_type(name, f"a {self.title}", value)
        self.check(value)

    def check(self, values: list[Any]) -> None:
        """Check a decoded array slot by slot.

        Raises:
            RemoteError: the first slot that breaks its rule.
            NewerVersion: slot 0 names a later version.

        """
        if self.version is not None:
            check_version(values, self.title, self.version)
        if len(values) != self._width:
            raise RemoteError(Defect.WRONG_COUNT, self.title, f"{self._width} slots", f"{len(values)} slots")
        for (name, check), value in zip(self.slots, values, strict=True):
            check(value, name)

    def read(self, data: bytes, max_bytes: int) -> list[Any]:
        """Decode `data` as this structure.

        The slots' own checks leave no room for other types or depths, so the tree is only walked for a later version,
        which is called newer only when it is well-formed.

        Raises:
            RemoteError: the rule that was broken, with the slot.
            NewerVersion: a well-formed structure of a later version.

        """
        values = _unpack(data, max_bytes)
        _check_canonical(values, data)
        try:
            self.check(values)
        except NewerVersion:
            _check_tree(values, 0)
            raise
        return values

    def write(self, *values: object) -> bytes:
        """Encode our own values, held to the same rules.

        Raises:
            LocalError: a value breaks the rule of its slot.

        """
        listed: list[Any] = list(values) if self.version is None else [self.version, *values]
        try:
            self.check(listed)
        except RemoteError as error:
            raise LocalError.like(error) from None
        return _pack(listed)


def check_version(values: list[Any], title: str, version: int = VERSION) -> None:
    """Check that slot 0 is `version`.

    Raises:
        NewerVersion: it is a later one.
        RemoteError: WRONG_COUNT, WRONG_TYPE, or UNKNOWN_VERSION for zero and below.

    """
    if not values:
        raise RemoteError(Defect.WRONG_COUNT, title, "slots", "none")
    found = values[0]
    if type(found) is not int:
        raise wrong_type("ver", "integer", found)
    if found > version:
        raise NewerVersion(Defect.UNKNOWN_VERSION, title, f"version {version}", "a later one")
    if found < version:
        raise RemoteError(Defect.UNKNOWN_VERSION, title, f"version {version}", "an earlier one")
