"""Logs carry ids and never a person's data."""

import io
import json
import logging
import time

import pytest
import structlog
from threadline_runtime.logging import configure_logging
from threadline_runtime.settings import LogSettings

_WORDS = "ann@customer.example"


@pytest.fixture
def lines():
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure_logging(LogSettings(level="info", format="json"), service="router", version="1.2", stream=stream)

    def read() -> list[dict[str, object]]:
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    yield read
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def test_a_line_has_its_ids_and_who_wrote_it(lines) -> None:
    structlog.stdlib.get_logger("router.pipeline").info("entry stored", message_id="m_1", account="support")
    (line,) = lines()
    assert (line["event"], line["message_id"], line["account"]) == ("entry stored", "m_1", "support")
    assert (line["level"], line["service"], line["version"], line["logger"]) == ("info", "router", "1.2", "router.pipeline")
    assert "timestamp" in line


def test_a_field_that_is_not_on_the_list_is_dropped_and_named(lines) -> None:
    structlog.stdlib.get_logger("threadline.x").warning("odd", address=_WORDS, subject=_WORDS, message_id="m_1")
    (line,) = lines()
    assert line["dropped_fields"] == ["address", "subject"]
    assert _WORDS not in json.dumps(line)


def test_an_error_shows_its_class_and_place_never_its_text(lines) -> None:
    try:
        raise ValueError(_WORDS)
    except ValueError:
        structlog.stdlib.get_logger("threadline.x").exception("it failed")
        logging.getLogger("asyncio").exception("Task failed %s", _WORDS)
    for line in lines():
        assert line["error_class"] == "ValueError"
        assert "test_logging.py:" in str(line["frames"])
        assert _WORDS not in json.dumps(line)


def test_foreign_libraries_show_their_template_only(lines) -> None:
    logging.getLogger("aiosmtplib").warning("refused for %s", _WORDS)
    logging.getLogger("other").warning(f"refused for {_WORDS}")  # noqa: G004 - as other people write it
    logging.getLogger("uvicorn.access").warning("GET /v1/contacts?identity=%s", _WORDS)
    assert [line["event"] for line in lines()] == ["refused for %s", "a line of other"]


def test_the_level_holds_for_ours_and_others_are_quiet(lines) -> None:
    structlog.stdlib.get_logger("threadline.x").debug("not shown")
    structlog.stdlib.get_logger("ingest_email.reading").info("shown")
    logging.getLogger("httpx").info("not shown")
    assert [line["event"] for line in lines()] == ["shown"]


def test_a_warning_that_says_the_same_again_is_held_back_for_a_minute(lines) -> None:
    """Issue 5: what is away for long shows as one line, not as a flood; what differs is never held back."""
    log = structlog.stdlib.get_logger("threadline.bus")
    for failures in range(5):
        log.warning("the consumer is made anew", group="router", failures=failures)
        logging.getLogger("aiokafka").error("Unable connect to %s", "node")
    log.warning("the consumer is made anew", group="notifier", failures=1)
    for _ in range(2):
        log.info("entry stored", message_id="m_1")
    assert [line["event"] for line in lines()] == [
        "the consumer is made anew",
        "Unable connect to %s",
        "the consumer is made anew",
        "entry stored",
        "entry stored",
    ]


def test_it_is_written_again_after_the_minute(lines, monkeypatch) -> None:
    log = logging.getLogger("aiokafka")
    for when in (1000.0, 1059.0, 1061.0):
        monkeypatch.setattr(time, "time", lambda when=when: when)
        log.error("Unable connect to %s", "node")
    assert len(lines()) == 2


def test_it_is_written_again_after_the_clock_was_set_back(lines, monkeypatch) -> None:
    log = logging.getLogger("aiokafka")
    for when in (9000.0, 1000.0):
        monkeypatch.setattr(time, "time", lambda when=when: when)
        log.error("Unable connect to %s", "node")
    assert len(lines()) == 2


@pytest.mark.parametrize("name", ["threadline.lifecycle", "uvicorn.error"])
def test_another_error_under_the_same_text_is_never_held_back(lines, name) -> None:
    """The second failure is often the one that matters."""
    log = structlog.stdlib.get_logger(name) if name.startswith("threadline") else logging.getLogger(name)

    def there() -> None:
        raise KeyError(_WORDS)

    def elsewhere() -> None:
        raise KeyError(_WORDS)

    def otherwise() -> None:
        raise IndexError(_WORDS)

    for failing in (there, elsewhere, otherwise, there):
        try:
            failing()
        except LookupError:
            log.exception("it failed")
    assert [line["error_class"] for line in lines()] == ["KeyError", "KeyError", "IndexError"]


def test_the_console_form_is_for_people() -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure_logging(LogSettings(level="info", format="console"), service="up", version="1", stream=stream)
    structlog.stdlib.get_logger("threadline.x").info("ready", port=8080)
    root.handlers[:], root.level = before
    structlog.reset_defaults()
    assert "ready" in stream.getvalue()
    assert "port=8080" in stream.getvalue()
    assert "version=" not in stream.getvalue()
