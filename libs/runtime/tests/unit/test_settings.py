"""Settings from the environment, and what their URLs open."""

from pathlib import Path

import pytest
from threadline_runtime.blobs.files import FileBlobs
from threadline_runtime.errors import ConfigurationError
from threadline_runtime.mongo import MongoDatabase
from threadline_runtime.opening import open_blobs, open_bus, open_database
from threadline_runtime.secrets import shown_url
from threadline_runtime.settings import load_settings


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_names_of_the_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "THREADLINE_BUS__URL": "sqlite:///data/bus.db",
        "THREADLINE_HTTP__PORT": "0",
        "THREADLINE_OPS__HOST": "0.0.0.0",
        "THREADLINE_LOG__FORMAT": "console",
        "THREADLINE_SIGNING_KEYS": "file:/keys",
        "THREADLINE_API__FIRST_KEY": "tl_secret",
    }.items():
        monkeypatch.setenv(name, value)
    settings = load_settings({})
    assert settings.bus.address == "sqlite:///data/bus.db"
    assert (settings.http.host, settings.http.port, settings.ops.host) == ("127.0.0.1", 0, "0.0.0.0")
    assert (settings.log.format, settings.log.level, settings.signing_keys) == ("console", "info", "file:/keys")
    assert "tl_secret" not in repr(settings)


def test_what_is_not_set_lies_in_the_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREADLINE_DATABASE__URL", "sqlite:///elsewhere.db")
    settings = load_settings({}).in_folder(Path("/var/lib/threadline"))
    assert settings.bus.address == "sqlite:////var/lib/threadline/bus.db"
    assert settings.database.address == "sqlite:///elsewhere.db"
    assert settings.blobs.url == "file:///var/lib/threadline/blobs"
    assert settings.signing_keys == "file:/var/lib/threadline/signing.keys"


@pytest.mark.parametrize("way", ["itself", "file", "env"])
def test_a_secret_stands_there_itself_or_by_reference_and_is_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str) -> None:
    """One form for all four, the one that accounts have; whoever prints settings prints no password."""
    secrets = {
        "DATABASE__URL": "mongodb://threadline:hunter2@db.test/threadline",
        "BUS__URL": "kafka://hunter2.test:9092",
        "BUS__SECURITY__PASSWORD": "hunter2",
        "API__FIRST_KEY": "tl_hunter2",
    }
    for name, secret in secrets.items():
        (tmp_path / name).write_text(secret + "\n")
        monkeypatch.setenv(f"SECRET_{name}", secret)
        given = {"itself": secret, "file": f"file:{tmp_path / name}", "env": f"env:SECRET_{name}"}
        monkeypatch.setenv(f"THREADLINE_{name}", given[way])
    settings = load_settings({}).in_folder(tmp_path)
    assert (settings.database.address, settings.bus.address) == (secrets["DATABASE__URL"], secrets["BUS__URL"])
    assert settings.bus.security.password is not None
    assert settings.bus.security.password.get_secret_value() == "hunter2"
    assert settings.api.first_key is not None
    assert settings.api.first_key.get_secret_value() == "tl_hunter2"
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


@pytest.mark.parametrize("name", ["DATABASE__URL", "BUS__URL", "BUS__SECURITY__PASSWORD", "API__FIRST_KEY"])
def test_a_reference_that_leads_nowhere_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"THREADLINE_{name}", "file:/nowhere/secret")
    with pytest.raises(ConfigurationError, match=f"THREADLINE_{name}: cannot read the secret in /nowhere/secret: No such file"):
        load_settings({})
    monkeypatch.setenv(f"THREADLINE_{name}", "env:NOBODY_SET_ME")
    with pytest.raises(ConfigurationError, match=f"THREADLINE_{name}: the environment variable NOBODY_SET_ME is not set"):
        load_settings({})


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mongodb://u:hunter2@a.test,b.test:27018/threadline?replicaSet=rs0&tlsCertificateKeyFilePassword=hunter2", "mongodb://a.test,b.test:27018/threadline"),
        ("mongodb+srv://u:hunter2@a.test", "mongodb+srv://a.test"),
        ("mongodb://[::1]:27017/threadline", "mongodb://[::1]:27017/threadline"),
        ("kafka://a:9092,b:9092", "kafka://a:9092,b:9092"),
        ("sqlite:////var/lib/a b/threadline.db", "sqlite:////var/lib/a b/threadline.db"),
        ("mongodb://u:hunter2/x@a.test/threadline", "mongodb://..."),
        ("mongodb://u:hunter2@x@a.test/threadline", "mongodb://..."),
        ("mongodb://u:hunter2#x@a.test/threadline", "mongodb://..."),
        ("mongodb://u:hunter2", "mongodb://..."),
        ("mongodb:u:hunter2@a.test", "an address without a scheme"),
        ("hunter2", "an address without a scheme"),
    ],
)  # fmt: skip
def test_of_a_url_only_the_place_is_shown(url: str, shown: str) -> None:
    """A password that was not percent-encoded ends nowhere one would expect."""
    assert shown_url(url) == shown


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("THREADLINE_BUS_URL", "unknown key 'THREADLINE_BUS_URL': did you mean 'THREADLINE_BUS__URL'?"),
        ("THREADLINE_HTTP__PROT", "did you mean 'THREADLINE_HTTP__PORT'?"),
    ],
)
def test_an_unknown_variable_names_the_nearest(name: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings({name: "x", "PATH": "x", "THREADLINE_TEST_BUILD": "1", "THREADLINE_FAILPOINTS": ""})
    assert says in str(caught.value)


def test_a_wrong_value_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREADLINE_HTTP__PORT", "eighty")
    with pytest.raises(ConfigurationError, match="THREADLINE_HTTP__PORT: Input should be a valid integer"):
        load_settings({})


async def test_urls_open_what_they_name(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'data' / 'a.db'}")
    assert database.path == str(tmp_path / "data" / "a.db")
    await database.close()
    relative = open_database("sqlite:///data/b.db")
    assert relative.path == "data/b.db"
    await relative.close()
    bus = await open_bus("sqlite:///:memory:", version="1")
    await bus.probe()
    await bus.close()
    assert isinstance(open_blobs(f"file://{tmp_path}/blobs"), FileBlobs)


async def test_a_mongodb_url_opens_without_a_connection() -> None:
    """P8: a database that is away at the start is waited for; only what the operator must change is an error."""
    database = open_database("mongodb://user:hunter2@127.0.0.1:1/acme?replicaSet=rs0")
    assert isinstance(database, MongoDatabase)
    assert database.where == "127.0.0.1:1"
    await database.close()


_ODD = [
    "hunter2",
    "mongodb:u:hunter2@h",
    "mongodb://u:hunter2",
    "mongodb://u:hun%ter2",
    "mongodb://u:hunter2/@h",
    "mongodb://u:hun%ter2@h",
    "mongodb://u:hunter2@h:x",
]


@pytest.mark.parametrize("url", [*_ODD, "mongodb://u:p@h/d?hunter2=1", "kafka://u:hunter2@h:9092", "kafka://hunter2"])
async def test_no_error_about_a_url_holds_a_piece_of_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await open_bus(url, version="1") if url.startswith("kafka") else open_database(url)
    assert "hunter2" not in str(caught.value)
    assert "ter2" not in str(caught.value)


@pytest.mark.parametrize("url", [None, "", "postgres://u:hunter2@h/d", "sqlite:data.db", "sqlite://host/x"])
def test_a_url_nobody_can_open_is_one_clear_line(url: str | None) -> None:
    with pytest.raises(ConfigurationError, match="THREADLINE_DATABASE__URL: cannot use") as caught:
        open_database(url)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="THREADLINE_BLOBS__URL: cannot use"):
        open_blobs(url)
