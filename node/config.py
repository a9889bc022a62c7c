"""Configuration: default < `almenara.toml` < `ALMENARA_SECTION_KEY` < flag; an unknown key is an error (SCHEMAS §6).

Nothing in it is secret but a password inside `database.url`, which `redacted` hides and no error repeats.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import tomllib
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from almenara.node.transport.endpoint import Endpoint, parse_endpoint
from almenara.node.transport.errors import EndpointMalformed
from almenara.node.transport.proxy import SCHEME, parse_proxy
from almenara.protocol.vocabulary import TLP

if TYPE_CHECKING:
    from pathlib import Path

    from almenara.node.home import Home

ENVIRONMENT = "ALMENARA_"
NOT_SETTINGS = frozenset({"ALMENARA_HOME", "ALMENARA_PASSPHRASE_FILE"})
"""Variables of the command line, which the configuration leaves alone."""

NAME_BYTES = 80  # as in a profile (SCHEMAS §4)
HIDDEN = "hidden"  # asterisks would be escaped in a URL's parameters
MAX_QUOTA_MB = 4_000  # what CARRYING can say is 4,294 megabytes
LOCALHOST = ("localhost", "127.0.0.1", "::1")

Values: TypeAlias = Mapping[str, Mapping[str, Any]]


class ConfigError(Exception):
    """A setting cannot be used. `where` is the file, variable or flag it stands in, `key` its name, `section.key`."""

    def __init__(self, where: str, key: str, expected: str) -> None:
        super().__init__(f"{where}: {key}: {expected}" if key else f"{where}: {expected}")
        self.where, self.key, self.expected = where, key, expected


def _must(condition: bool, expected: str) -> None:
    if not condition:
        raise PydanticCustomError("setting", "{expected}", {"expected": expected})


def _name(value: str) -> str:
    value = unicodedata.normalize("NFC", value)
    fits = value == value.strip() and len(value.encode()) <= NAME_BYTES and value.isprintable()
    _must(fits and value != "", f"a name of 1 to {NAME_BYTES} bytes on one line")
    return value


def _country(value: str) -> str:
    _must(bool(re.fullmatch("[A-Z]{2}", value)), "two capital letters (ISO 3166-1), such as KE")
    return value


def _language(value: str) -> str:
    _must(bool(re.fullmatch("[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", value)), "a language tag, such as en or pt-BR")
    return value


def _endpoint(value: str) -> str:
    try:
        return str(parse_endpoint(value))
    except EndpointMalformed as error:
        raise PydanticCustomError("setting", "{expected}", {"expected": f"host:port ({error})"}) from None


def _listening(value: str) -> str:
    return _endpoint(value) if value else value


def _proxy(value: str) -> str:
    try:
        return f"{SCHEME}{parse_proxy(value)}"
    except EndpointMalformed as error:
        raise PydanticCustomError("setting", "{expected}", {"expected": str(error)}) from None


def _interface(value: str) -> str:
    _must(bool(re.fullmatch(r"[A-Za-z0-9._@:-]{1,32}", value)), "the name of a network interface, such as eth0")
    return value


def _host(value: str) -> str:
    _must(bool(re.fullmatch(r"[A-Za-z0-9.\[\]:_-]{1,255}", value)), "the name of a host, without a port or path")
    return value.lower()


def _database(value: str) -> str:
    try:
        good = make_url(value).get_backend_name() == "postgresql"
    except ArgumentError:
        good = False
    _must(good, "postgresql://USER@HOST/DATABASE")
    return value


def _tlp(value: str) -> str:
    _must(value in TLP, " · ".join(TLP))
    return value


Address = Annotated[str, AfterValidator(_endpoint)]


class Section(BaseModel):
    """Base: keys outside the section are refused, values are never converted, errors never repeat a value."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Node(Section):
    """Who this node says it is; its profile."""

    name: Annotated[str, AfterValidator(_name)]
    kind: Literal["organisation", "network", "international-body"] = "organisation"
    country: Annotated[str, AfterValidator(_country)] | None = None
    languages: list[Annotated[str, AfterValidator(_language)]] = Field(default=["en"], min_length=1)


class Peer(Section):
    """Where other nodes reach this one."""

    listen: Annotated[str, AfterValidator(_listening)] = "0.0.0.0:7790"  # empty: no open port
    advertise: list[Address] = []
    proxy: Annotated[str, AfterValidator(_proxy)] | None = None  # SOCKS5, for everything this node dials

    @model_validator(mode="after")
    def _answering(self) -> Peer:
        _must(bool(self.listen) or not self.advertise, "peer.listen, since peer.advertise gives addresses to others")
        return self


class Database(Section):
    """Where the node keeps what it holds; without a URL, SQLCipher in its home."""

    url: Annotated[str, AfterValidator(_database)] | None = None


class Panel(Section):
    """Where people and the command line reach this node."""

    listen: Address = "127.0.0.1:7780"
    hosts: list[Annotated[str, AfterValidator(_host)]] = []
    idle_minutes: int = Field(default=30, ge=1, le=1440)

    @model_validator(mode="after")
    def _named(self) -> Panel:
        named = bool(self.hosts) or parse_endpoint(self.listen).host in LOCALHOST
        _must(named, "panel.hosts, since panel.listen is not this machine's own address")
        return self


class Log(Section):
    """What is logged, and how; without a format, JSON, or words on a terminal."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] | None = None


class Sharing(Section):
    """What a new circle or case starts with."""

    tlp: Annotated[str, AfterValidator(_tlp)] = "TLP:AMBER+STRICT"
    retention_days: int = Field(default=90, ge=1, le=366)


class Carry(Section):
    """What other organisations may leave here for circles that we are not in; 0 carries for nobody."""

    quota_mb: int = Field(default=64, ge=0, le=MAX_QUOTA_MB)


class Discovery(Section):
    """Whether this node announces itself on local networks without being asked each time, and on which."""

    enabled: bool = False
    interfaces: list[Annotated[str, AfterValidator(_interface)]] = []

    @model_validator(mode="after")
    def _named(self) -> Discovery:
        _must(bool(self.interfaces) or not self.enabled, "discovery.interfaces, the networks that are trusted for it")
        return self


class Config(Section):
    """Everything, checked."""

    node: Node
    peer: Peer = Peer()
    database: Database = Database()
    panel: Panel = Panel()
    log: Log = Log()
    sharing: Sharing = Sharing()
    carry: Carry = Carry()
    discovery: Discovery = Discovery()

    @model_validator(mode="after")
    def _hidden_or_found(self) -> Config:
        _must(
            not (self.discovery.enabled and self.peer.proxy),
            "discovery.enabled or peer.proxy, not both: what goes through a proxy is not to be seen around it",
        )
        return self

    @property
    def endpoints(self) -> list[str]:
        """Where others reach us: what is advertised, else the listening address unless that is empty or a wildcard."""
        if self.peer.advertise:
            return self.peer.advertise
        own = bool(self.peer.listen) and not _is_wildcard(parse_endpoint(self.peer.listen))
        return [self.peer.listen] if own else []

    @property
    def proxy(self) -> Endpoint | None:
        """The SOCKS5 proxy that every dial goes through."""
        return parse_proxy(self.peer.proxy) if self.peer.proxy else None

    @property
    def panel_url(self) -> str:
        """The panel's address for a browser on this machine."""
        at = parse_endpoint(self.panel.listen)
        own = at.host in LOCALHOST or _is_wildcard(at)
        return f"http://{Endpoint('localhost', at.port) if own else at}"

    def database_place(self, home: Home) -> str | Path:
        """What `storage.open_store` opens."""
        return self.database.url or home.database_path

    def redacted(self) -> dict[str, Any]:
        """Every setting that has a value, the password in `database.url` hidden."""
        shown = self.model_dump(mode="json", exclude_none=True)
        if self.database.url:
            url = make_url(self.database.url)
            hidden = dict.fromkeys(url.query, HIDDEN)  # drivers take `password` and `sslpassword` there, too
            shown["database"]["url"] = url.set(query=hidden).render_as_string(hide_password=True)
        return {section: values for section, values in shown.items() if values}


SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for name, field in Config.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}


def load_config(home: Home, flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Read the configuration of a home. `flags` maps `section.key` to values given on the command line.

    Raises ConfigError, which says where the faulty setting stands.
    """
    merged = _Merged()
    merged.take(_from_file(home.config_path), home.config_path.name)
    merged.take_environment(os.environ if environ is None else environ)
    merged.take_flags(flags or {})
    return merged.config()


def initial_text(node: Mapping[str, Any], **sections: Mapping[str, Any]) -> str:
    """The text of a new almenara.toml with these values in it. Raises ConfigError for values that cannot be used."""
    merged = _Merged()
    merged.take({"node": node} | sections, "init")
    merged.config()
    parts = ["# almenara: every setting and its default stands in the guide; nothing secret belongs here.\n"]
    for section, values in ({"node": node} | sections).items():
        lines = [f"{key} = {_toml(value)}\n" for key, value in values.items()]
        parts.append("".join([f"[{section}]\n", *lines]) if lines else "")
    return "\n".join(part for part in parts if part)


class _Merged:
    """Values from several places, and for each key the place that had the last word."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, Any]] = {}
        self._where: dict[tuple[str, str], str] = {}

    def take(self, values: Mapping[str, Any], where: str) -> None:
        for section, keys in values.items():
            if section not in SECTIONS:
                raise ConfigError(where, section, f"unknown; there are {', '.join(SECTIONS)}")
            if not isinstance(keys, Mapping):
                raise ConfigError(where, section, "a section, written [name]")
            for key, value in keys.items():
                self._set(section, key, value, where)

    def take_environment(self, environ: Mapping[str, str]) -> None:
        """Variables named ALMENARA_SECTION_KEY; lists are written with commas."""
        for variable, text in sorted(environ.items()):
            if variable.startswith(ENVIRONMENT) and variable not in NOT_SETTINGS:
                section, _, key = variable.removeprefix(ENVIRONMENT).lower().partition("_")
                if section not in SECTIONS:
                    raise ConfigError(variable, "", f"unknown; sections are {', '.join(SECTIONS)}")
                self._set(section, key, _from_text(SECTIONS[section], key, text), variable)

    def take_flags(self, flags: Mapping[str, Any]) -> None:
        for name, value in flags.items():
            if value is not None:
                section, _, key = name.partition(".")
                self._set(section, key, value, "--" + name.replace(".", "-"))

    def _set(self, section: str, key: str, value: Any, where: str) -> None:
        known = SECTIONS[section].model_fields
        if key not in known:
            raise ConfigError(where, f"{section}.{key}", f"unknown; there are {', '.join(known)}")
        self._values.setdefault(section, {})[key] = value
        self._where[section, key] = where

    def config(self) -> Config:
        """Check everything together."""
        try:
            return Config.model_validate({"node": {}} | self._values)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=True)[0]
            path = [str(part) for part in first["loc"]]
            section, key, *_ = *path, "", ""  # what two sections say together stands in neither
            where = self._where.get((section, key), "almenara.toml")
            raise ConfigError(where, ".".join(path), _expected(first["msg"])) from None


def _expected(message: str) -> str:
    return message[0].lower() + message[1:]


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(str(path), "", "there is no such file; `almenara init` makes a home") from None
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at .*\)$", str(error))  # the message itself could repeat a value
        raise ConfigError(path.name, "", f"not TOML {place.group() if place else ''}".strip()) from None
    except (OSError, UnicodeDecodeError):
        raise ConfigError(str(path), "", "cannot be read") from None


def _from_text(section: type[Section], key: str, text: str) -> Any:
    """A variable's text as the type of its key; what does not fit stays text and is refused with all else."""
    field = section.model_fields.get(key)
    if field is None or field.annotation is None:
        return text
    if str(field.annotation).startswith("list"):
        return [part.strip() for part in text.split(",") if part.strip()]
    if field.annotation is bool:
        return {"true": True, "false": False}.get(text, text)
    return int(text) if field.annotation is int and re.fullmatch("[0-9]{1,9}", text) else text


def _is_wildcard(at: Endpoint) -> bool:
    try:
        return ipaddress.ip_address(at.host).is_unspecified
    except ValueError:
        return False


def _toml(value: Any) -> str:
    """A TOML value: strings, integers and lists of strings are written as in JSON."""
    return json.dumps(value, ensure_ascii=False)
