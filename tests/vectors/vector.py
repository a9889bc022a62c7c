"""What the makers of vectors share: the vector itself, values that look random, pinned values, and two nodes.

Makers build bytes by hand (msgpack and crypto), not with the code under test, wherever a defect is to be put in.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack

from almenara.crypto.certificate import make_tls_identity
from almenara.crypto.identity import RootKeys
from almenara.crypto.labels import Label
from almenara.crypto.sealing import PrekeySecret
from almenara.crypto.signing import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
PINNED = HERE / "pinned.json"
NOW = 29_800_000  # minutes since 1970: in August 2026


@dataclass(frozen=True)
class Vector:
    """One file: an input, and either the output or the defect a reader must name."""

    kind: str
    name: str
    about: str
    input: dict[str, Any]
    output: dict[str, Any] | None = None
    defect: str = ""
    newer: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the content of the file; bytes become hexadecimal."""
        expected: dict[str, Any]
        if self.defect:
            expected = {"defect": self.defect} | ({"newer": True} if self.newer else {})
        else:
            expected = {"output": self.output}
        return _plain({"kind": self.kind, "about": self.about, "input": self.input, **expected})


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return _shared.names.get(value) or value.hex()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def good(kind: str, name: str, about: str, given: dict[str, Any], /, **output: Any) -> Vector:
    """Return a vector that a reader must accept, with what it must find."""
    return Vector(kind, name, about, given, output=output)


def bad(defect: str, kind: str, name: str, about: str, /, **given: Any) -> Vector:
    """Return a vector that a reader must refuse for this reason."""
    return Vector(kind, name, about, given, defect=defect)


def newer(defect: str, kind: str, name: str, about: str, /, **given: Any) -> Vector:
    """Return a vector that a reader must keep as *newer version*, not call broken."""
    return Vector(kind, name, about, given, defect=defect, newer=True)


@dataclass
class _Shared:
    """Long values that many files use: written once, to shared.json, and named there as `@name`."""

    values: dict[str, bytes] = field(default_factory=dict)
    names: dict[bytes, str] = field(default_factory=dict)


_shared = _Shared()


def share(name: str, value: bytes) -> bytes:
    """Let the files name this value `@name` instead of repeating it."""
    _shared.values[name] = value
    _shared.names[value] = f"@{name}"
    return value


def shared_json() -> dict[str, str]:
    """Return the content of shared.json."""
    return {name: value.hex() for name, value in _shared.values.items()}


@functools.cache
def _pins() -> dict[str, str]:
    pins: dict[str, str] = json.loads(PINNED.read_text())
    return pins


_used: dict[str, str] = {}


def pinned(name: str, inputs: bytes, make: Callable[[], bytes]) -> bytes:
    """Return what `make` once made from these inputs.

    ML-DSA signatures, X-Wing encapsulations and certificate serials are random; here they are made once and kept.
    """
    key = f"{name} {hashlib.sha256(inputs).hexdigest()[:16]}"
    _used[key] = _pins().get(key) or _used.get(key) or make().hex()
    return bytes.fromhex(_used[key])


def pinned_json() -> dict[str, str]:
    """Return the content of pinned.json: what this run asked for."""
    return dict(sorted(_used.items()))


def seed(name: str, length: int = 32) -> bytes:
    """Bytes that look random and are the same every time."""
    return hashlib.shake_256(name.encode()).digest(length)


def pack(*values: Any) -> bytes:
    """Return the msgpack array of these values, right or wrong."""
    packed: bytes = msgpack.packb(list(values), use_bin_type=True)
    return packed


class Node:
    """A node with all keys, and the fields of a good card, profile and prekey to change."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.root = RootKeys.from_seeds(seed(f"{name} ed25519"), seed(f"{name} mldsa65"))
        self.op = SigningKey.from_seed(seed(f"{name} operational"))
        self.prekey = PrekeySecret.from_seed(seed(f"{name} prekey"))
        self.id = self.root.node_id.raw
        self.certificate = pinned(f"certificate {name}", name.encode(), lambda: make_tls_identity(seed(name)).cert_der)

    def root_sign(self, message: bytes, label: Label = Label.CARD) -> bytes:
        """Return the signature of both root keys; the ML-DSA half is pinned."""
        return pinned("root signature", label + self.id + message, lambda: self.root.sign(label, message))

    def card_fields(self, **changes: Any) -> list[Any]:
        """Return the slots of a good card, with changes by name."""
        fields = {
            "ver": 1,
            "root_pks": self.root.public.raw,
            "counter": 1,
            "op_sign_pk": self.op.public,
            "tls_cert": self.certificate,
            "endpoints": ["127.0.0.1:7790"],
            "suites": [0x0101, 0x0201],
            "issued": NOW,
            "expires": NOW + 525_600,
            "status": 1,
            "previous_op": 0,
        }
        return list((fields | changes).values())

    def card(self, **changes: Any) -> bytes:
        """Return a signed card."""
        fields = pack(*self.card_fields(**changes))
        return pack(fields, self.root_sign(fields))

    def profile_fields(self, **changes: Any) -> list[Any]:
        """Return the slots of a good profile, with changes by name."""
        fields = {"ver": 1, "node_id": self.id, "issued": NOW, "name": self.name, "kind": "organisation", "land": "KE"}
        return list((fields | changes).values())

    def profile(self, **changes: Any) -> bytes:
        """Return a signed profile."""
        return self.signed(Label.PROFILE, pack(*self.profile_fields(**changes)))

    def prekey_fields(self, **changes: Any) -> list[Any]:
        """Return the slots of a good prekey, with changes by name."""
        fields = {"ver": 1, "node_id": self.id, "public": self.prekey.public, "issued": NOW}
        return list((fields | changes).values())

    def signed_prekey(self, **changes: Any) -> bytes:
        """Return a signed prekey."""
        return self.signed(Label.PREKEY, pack(*self.prekey_fields(**changes)))

    def signed(self, label: Label, fields: bytes) -> bytes:
        """Return `[fields, signature]` by the operational key."""
        return pack(fields, self.op.sign(label, fields))

    def introduction(self) -> bytes:
        """Return card, profile and prekey as one array."""
        return pack(self.card(), self.profile(), self.signed_prekey())


@functools.cache
def node(name: str) -> Node:
    """Return the node of this name."""
    return Node(name)
