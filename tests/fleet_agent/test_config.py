"""Stories about the cart's one file of settings and its document."""

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from fleet_agent.config import CartConfig, load_config, parse_config
from fleet_agent.config_docs import render, tables
from fleet_agent.errors import ConfigError

ROOT = Path(__file__).parents[2]
SMALLEST = 'store = "s001"\ncart = "s001-c01"\n'


def test_two_names_are_enough() -> None:
    """Everything but the cart's name has a default."""
    config = parse_config(SMALLEST)
    assert (config.store, config.cart, config.cameras) == ("s001", "s001-c01", ())
    assert config.telemetry.window_s == 60.0


@pytest.mark.parametrize(
    ("extra", "key", "why"),
    [
        ("[mqtt]\nprot = 1\n", "mqtt.prot", "there is no such setting"),
        ("[mqtt]\nport = 70000\n", "mqtt.port", "<= 65535"),
        ('[mqtt]\nport = "1883"\n', "mqtt.port", "Expected `int`, got `str`"),
        ("[mqtt]\nport = true\n", "mqtt.port", "got `bool`"),
        ("mqtt = 3\n", "mqtt", "Expected `object`"),
        ("[telemetry]\nwindow_s = 0\n", "telemetry.window_s", "> 0"),
        ('[[cameras]]\nname = "a"\nkind = "video"\n', "cameras[0].source", "must be given"),
        ('[[cameras]]\nname = "A"\nkind = "video"\nsource = "x"\n', "cameras[0].name", "regex"),
        ('[[cameras]]\nname = "a"\nkind = "fax"\nsource = "x"\n', "cameras[0].kind", "'fax'"),
        ('[[cameras]]\nname = "a"\nkind = "video"\nsource = "x"\nfp = 1\n', "cameras[0].fp", "no such"),
        ('[scale]\nkind = "serial"\n', "scale.port", "/dev/ttyUSB0"),
        ('[scale]\nkind = "script"\n', "scale.script", "file"),
        (
            '[mqtt]\nusername = "u"\npassword_env = "A"\npassword_file = "b"\n',
            "mqtt.password_file",
            "one way",
        ),
        ('[mqtt]\npassword_env = "A"\n', "mqtt.username", "user name"),
        ('[mqtt]\ncert_file = "a"\n', "mqtt.cert_file", "belong together"),
        ("[mqtt]\nreconnect_min_s = 90.0\n", "mqtt.reconnect_min_s", "above"),
        ('[updates]\nrepository = "https://models"\n', "updates.root", "trusted root"),
        (
            '[updates]\nrepository = "https://me:pw@models"\nroot = "r"\n',
            "updates.repository",
            "keep user and password out",
        ),
        ('labels = { Floor = "upper" }\n', "labels", "regex"),
    ],
)
def test_a_wrong_setting_is_named_by_its_path(extra: str, key: str, why: str) -> None:
    """An operator reads which key is wrong and why."""
    with pytest.raises(ConfigError) as refused:
        parse_config(SMALLEST + extra)
    assert refused.value.key == key
    assert why in str(refused.value)


def test_two_cameras_of_one_name_are_refused() -> None:
    """Names tell cameras apart on the wire."""
    camera = '[[cameras]]\nname = "a"\nkind = "images"\nsource = "x"\n'
    with pytest.raises(ConfigError, match=r"cameras\[1\].name"):
        parse_config(SMALLEST + camera * 2)


def test_a_password_in_a_camera_address_is_refused_and_not_repeated() -> None:
    """Nobody gets to keep a password in the file, and the error does not print it."""
    camera = '[[cameras]]\nname = "a"\nkind = "rtsp"\nsource = "rtsp://me:hunter2@host/x"\n'
    with pytest.raises(ConfigError, match="password_env") as refused:
        parse_config(SMALLEST + camera)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("text", ["store = ", SMALLEST + "x", ""])
def test_a_file_that_is_not_toml_or_empty_is_refused(text: str) -> None:
    """A truncated file stops the agent with a sentence."""
    with pytest.raises(ConfigError):
        parse_config(text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A wrong path is an error of ours that names it."""
    with pytest.raises(ConfigError, match="nowhere"):
        load_config(tmp_path / "nowhere.toml")


def test_settings_cannot_change_under_a_running_cart() -> None:
    """A configuration is a value."""
    config = parse_config(SMALLEST)
    with pytest.raises(FrozenInstanceError):
        config.store = "other"  # type: ignore[misc]


def test_the_document_is_what_the_dataclasses_say() -> None:
    """docs/configuration.md lists every setting, its type, default and meaning."""
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == render()


def test_every_setting_is_documented_with_a_sentence() -> None:
    """No setting hides."""
    listed = [setting for table in tables() for setting in table.settings]
    assert len(listed) > 50
    assert all(setting.doc.endswith((".", ".)")) for setting in listed)


def test_the_example_is_a_valid_configuration() -> None:
    """The file that people copy works, and its agent is the one that systemd starts."""
    config = load_config(ROOT / "deploy" / "cart" / "cart.example.toml")
    assert isinstance(config, CartConfig)
    assert [camera.kind for camera in config.cameras] == ["v4l2", "v4l2", "rtsp"]
    unit = (ROOT / "deploy" / "cart" / "cartwright-agent.service").read_text(encoding="utf-8")
    assert "cartwright-agent run --config /etc/cartwright/cart.toml" in unit
    assert Path(config.spool.path).parent == Path("/var/lib/cartwright")
    assert "StateDirectory=cartwright" in unit
