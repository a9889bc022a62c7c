"""Configuration: where values come from, what is refused, and that a refusal says where the fault stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from almenara.node.config import SECTIONS, Config, ConfigError, initial_text, load_config
from almenara.node.home import Home

if TYPE_CHECKING:
    from pathlib import Path

SMALLEST = '[node]\nname = "alpha"\n'
PASSWORD = "CANARY-password"


def load(folder: Path, text: str = SMALLEST, environ: dict[str, str] | None = None, **flags: Any) -> Config:
    home = Home(folder)
    home.config_path.write_text(text, encoding="utf-8")
    given = {name.replace("__", "."): value for name, value in flags.items()}
    return load_config(home, given, environ or {})


def refused(folder: Path, text: str = SMALLEST, environ: dict[str, str] | None = None, **flags: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(folder, text, environ, **flags)
    return caught.value


def test_defaults_are_those_of_the_schema(tmp_path: Path) -> None:
    assert load(tmp_path).model_dump() == {
        "node": {"name": "alpha", "kind": "organisation", "country": None, "languages": ["en"]},
        "peer": {"listen": "0.0.0.0:7790", "advertise": [], "proxy": None},
        "database": {"url": None},
        "panel": {"listen": "127.0.0.1:7780", "hosts": [], "idle_minutes": 30},
        "log": {"level": "info", "format": None},
        "sharing": {"tlp": "TLP:AMBER+STRICT", "retention_days": 90},
        "carry": {"quota_mb": 64},
        "discovery": {"enabled": False, "interfaces": []},
    }


def test_every_section_of_the_configuration_is_known_by_name() -> None:
    assert set(SECTIONS) == set(Config.model_fields)


def test_the_file_is_overruled_by_the_environment_and_that_by_flags(tmp_path: Path) -> None:
    text = SMALLEST + '[panel]\nlisten = "127.0.0.1:1"\nidle_minutes = 5\n[log]\nlevel = "debug"\n'
    environ = {"ALMENARA_PANEL_LISTEN": "127.0.0.1:2", "ALMENARA_PANEL_IDLE_MINUTES": "6"}
    found = load(tmp_path, text, environ, panel__listen="127.0.0.1:3")
    assert (found.panel.listen, found.panel.idle_minutes, found.log.level) == ("127.0.0.1:3", 6, "debug")


def test_a_flag_that_was_not_given_changes_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, panel__listen=None).panel.listen == "127.0.0.1:7780"


def test_every_key_has_its_variable(tmp_path: Path) -> None:
    values = {
        "NODE_NAME": "beta", "NODE_KIND": "network", "NODE_COUNTRY": "KE", "NODE_LANGUAGES": "ar, fr",
        "PEER_LISTEN": "[::1]:1", "PEER_ADVERTISE": "a.example:1,b.example:2", "PEER_PROXY": "socks5://127.0.0.1:9050",
        "DATABASE_URL": "postgresql://h/d",
        "PANEL_LISTEN": "localhost:2", "PANEL_HOSTS": "panel.example", "PANEL_IDLE_MINUTES": "7", "LOG_LEVEL": "error",
        "LOG_FORMAT": "console", "SHARING_TLP": "TLP:RED", "SHARING_RETENTION_DAYS": "8",
        "CARRY_QUOTA_MB": "0",
        "DISCOVERY_ENABLED": "false", "DISCOVERY_INTERFACES": "eth0,wlan0",
    }  # fmt: skip
    keys = {f"{section}_{key}".upper() for section, kind in SECTIONS.items() for key in kind.model_fields}
    assert set(values) == keys
    assert load(tmp_path, environ={f"ALMENARA_{name}": value for name, value in values.items()}).model_dump() == {
        "node": {"name": "beta", "kind": "network", "country": "KE", "languages": ["ar", "fr"]},
        "peer": {
            "listen": "[::1]:1",
            "advertise": ["a.example:1", "b.example:2"],
            "proxy": "socks5://127.0.0.1:9050",
        },
        "database": {"url": "postgresql://h/d"},
        "panel": {"listen": "localhost:2", "hosts": ["panel.example"], "idle_minutes": 7},
        "log": {"level": "error", "format": "console"},
        "sharing": {"tlp": "TLP:RED", "retention_days": 8},
        "carry": {"quota_mb": 0},
        "discovery": {"enabled": False, "interfaces": ["eth0", "wlan0"]},
    }


def test_the_command_lines_own_variables_are_left_alone(tmp_path: Path) -> None:
    environ = {"ALMENARA_HOME": "/somewhere", "ALMENARA_PASSPHRASE_FILE": "/there", "PATH": "/bin"}
    assert load(tmp_path, environ=environ).node.name == "alpha"


@pytest.mark.parametrize(
    ("text", "environ", "where", "key"),
    [
        (SMALLEST + "[panle]\n", {}, "almenara.toml", "panle"),
        (SMALLEST + "colour = 1\n", {}, "almenara.toml", "node.colour"),
        ("name = 'alpha'\n", {}, "almenara.toml", "name"),
        (SMALLEST, {"ALMENARA_PANEL_LISTN": "x"}, "ALMENARA_PANEL_LISTN", "panel.listn"),
        (SMALLEST, {"ALMENARA_COLOUR": "x"}, "ALMENARA_COLOUR", ""),
    ],
)
def test_an_unknown_key_is_an_error_that_names_its_place(
    tmp_path: Path, text: str, environ: dict[str, str], where: str, key: str
) -> None:
    error = refused(tmp_path, text, environ)
    assert (error.where, error.key) == (where, key)
    assert where in str(error)


def test_an_unknown_flag_names_itself(tmp_path: Path) -> None:
    assert refused(tmp_path, panel__colour="red").where == "--panel-colour"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("node.name", ""), ("node.name", " alpha"), ("node.name", "a" * 81), ("node.name", "a\nb"),
        ("node.name", 7), ("node.kind", "company"), ("node.country", "Kenya"), ("node.country", "ke"),
        ("node.languages", []), ("node.languages", ["English"]), ("node.languages", "en"),
        ("peer.listen", "7790"), ("peer.listen", "host"), ("peer.listen", "host:0"), ("peer.advertise", ["https://x:1"]),
        ("peer.advertise", ["expyuzz4wqqyqhjn.onion:1"]), ("peer.proxy", "127.0.0.1:9050"), ("peer.proxy", "http://h:1"),
        ("database.url", "sqlite:///x"), ("database.url", "nonsense"), ("panel.hosts", ["http://x"]),
        ("panel.idle_minutes", 0), ("panel.idle_minutes", "30"), ("log.level", "trace"), ("log.format", "xml"),
        ("sharing.tlp", "AMBER"), ("sharing.retention_days", 367), ("sharing.retention_days", 1.5),
        ("discovery.enabled", "yes"), ("discovery.interfaces", ["eth 0"]),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_used_is_refused_with_its_key(tmp_path: Path, key: str, value: object) -> None:
    error = refused(tmp_path, **{key.replace(".", "__"): value})
    assert error.key.startswith(key)
    assert error.where == "--" + key.replace(".", "-")
    assert error.expected


def test_a_node_announces_itself_on_named_networks_only_and_never_behind_a_proxy(tmp_path: Path) -> None:
    on = {"ALMENARA_DISCOVERY_ENABLED": "true"}
    assert "discovery.interfaces" in refused(tmp_path, environ=on).expected
    named = on | {"ALMENARA_DISCOVERY_INTERFACES": "eth0"}
    assert load(tmp_path, environ=named).discovery.enabled
    hidden = named | {"ALMENARA_PEER_PROXY": "socks5://127.0.0.1:9050"}
    assert "not both" in refused(tmp_path, environ=hidden).expected


def test_a_password_in_the_proxy_is_refused_and_not_repeated(tmp_path: Path) -> None:
    error = refused(tmp_path, peer__proxy=f"socks5://user:{PASSWORD}@127.0.0.1:9050")
    assert error.key == "peer.proxy"
    assert PASSWORD not in str(error)


def test_the_fault_is_looked_for_where_the_last_word_was_said(tmp_path: Path) -> None:
    environ = {"ALMENARA_PANEL_IDLE_MINUTES": "many"}
    error = refused(tmp_path, SMALLEST + "[panel]\nidle_minutes = 5\n", environ)
    assert (error.where, error.key) == ("ALMENARA_PANEL_IDLE_MINUTES", "panel.idle_minutes")


def test_a_panel_beyond_this_machine_must_say_its_names(tmp_path: Path) -> None:
    """Otherwise the Host allow-list would refuse everybody, or, without it, a rebound name would be let in."""
    text = SMALLEST + '[panel]\nlisten = "0.0.0.0:7780"\n'
    assert "panel.hosts" in refused(tmp_path, text).expected
    assert load(tmp_path, text + 'hosts = ["Panel.example"]\n').panel.hosts == ["panel.example"]


@pytest.mark.parametrize("text", ["[node\n", '[node]\nname = "' + PASSWORD, "\udcff"])
def test_a_file_that_is_not_toml_is_named_but_not_repeated(tmp_path: Path, text: str) -> None:
    home = Home(tmp_path)
    home.config_path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError) as caught:
        load_config(home, {}, {})
    assert "almenara.toml" in caught.value.where
    assert PASSWORD not in str(caught.value)


def test_a_home_without_configuration_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="almenara init"):
        load_config(Home(tmp_path), {}, {})


@pytest.mark.parametrize("url", [f"postgresql://ana:{PASSWORD}@h/d", f"mysql://ana:{PASSWORD}@h/d", f"{PASSWORD}://"])
def test_no_password_of_the_database_is_shown_or_told(tmp_path: Path, url: str) -> None:
    text = SMALLEST + f'[database]\nurl = "{url}"\n'
    if url.startswith("postgresql"):
        assert load(tmp_path, text).redacted()["database"]["url"] == "postgresql://ana:***@h/d"
    else:
        error = refused(tmp_path, text)
        assert PASSWORD not in str(error)
        assert error.__cause__ is None


def test_no_secret_in_the_parameters_of_the_database_is_shown(tmp_path: Path) -> None:
    """The driver takes a password there as well; the names stay, for whoever looks for a mistake."""
    url = f"postgresql://ana@h/d?password={PASSWORD}&sslpassword={PASSWORD}"
    shown = load(tmp_path, SMALLEST + f'[database]\nurl = "{url}"\n').redacted()["database"]["url"]
    assert PASSWORD not in shown
    assert shown == "postgresql://ana@h/d?password=hidden&sslpassword=hidden"


def test_what_is_shown_is_what_counts(tmp_path: Path) -> None:
    shown = load(tmp_path, environ={"ALMENARA_NODE_COUNTRY": "KE"}).redacted()
    assert shown["node"] == {"name": "alpha", "kind": "organisation", "country": "KE", "languages": ["en"]}
    assert "database" not in shown


@pytest.mark.parametrize(
    ("listen", "advertise", "endpoints"),
    [
        ("0.0.0.0:7790", [], []),
        ("[::]:7790", [], []),
        ("192.0.2.1:7790", [], ["192.0.2.1:7790"]),
        ("", [], []),
        ("0.0.0.0:7790", ["a.example:1", "b.example:2"], ["a.example:1", "b.example:2"]),
    ],
)
def test_a_wildcard_is_no_address_to_give_to_others(
    tmp_path: Path, listen: str, advertise: list[str], endpoints: list[str]
) -> None:
    assert load(tmp_path, peer__listen=listen, peer__advertise=advertise).endpoints == endpoints


def test_without_an_open_port_no_address_is_given_to_others(tmp_path: Path) -> None:
    error = refused(tmp_path, peer__listen="", peer__advertise=["a.example:1"])
    assert error.key == "peer"
    assert "peer.listen" in error.expected


def test_the_panels_address_is_one_that_a_browser_here_can_open(tmp_path: Path) -> None:
    assert load(tmp_path).panel_url == "http://localhost:7780"
    wide = load(tmp_path, panel__listen="0.0.0.0:1", panel__hosts=["panel.example"])
    assert wide.panel_url == "http://localhost:1"
    other = load(tmp_path, panel__listen="192.0.2.1:1", panel__hosts=["panel.example"])
    assert other.panel_url == "http://192.0.2.1:1"


def test_without_a_url_the_database_is_in_the_home(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert load(tmp_path).database_place(home) == home.database_path
    assert load(tmp_path, database__url="postgresql:///d").database_place(home) == "postgresql:///d"


def test_a_new_configuration_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    text = initial_text({"name": 'Casa "Ñandú"', "kind": "network"}, peer={"listen": "127.0.0.1:1"}, panel={})
    found = load(tmp_path, text)
    assert (found.node.name, found.node.kind, found.peer.listen) == ('Casa "Ñandú"', "network", "127.0.0.1:1")


def test_a_new_configuration_with_a_bad_value_is_not_written() -> None:
    with pytest.raises(ConfigError, match=r"node\.kind"):
        initial_text({"name": "alpha", "kind": "company"})


def test_a_name_is_required(tmp_path: Path) -> None:
    assert refused(tmp_path, "").key == "node.name"


def test_a_name_is_kept_in_the_one_form_that_peers_accept(tmp_path: Path) -> None:
    """NFC (SCHEMAS §1); some keyboards write an accent as a letter of its own."""
    assert load(tmp_path, node__name="Casa N\u0303andu\u0301").node.name == "Casa \u00d1and\u00fa"
