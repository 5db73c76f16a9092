"""`threadline audit` answers yes or no, for people and for programs alike."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from router.audit import AccountAudit, AuditReport
from router.store.port import SentCounts
from threadline_cli.commands import audit
from threadline_cli.main import create_app
from threadline_cli.moments import read_time
from typer import BadParameter
from typer.testing import CliRunner, Result

CLEAN = AccountAudit("support-mail", intakes=1200, events=1300, outcomes=Counter({"stored": 1299, "rejected(no_author)": 1}))
CLEAN.sent = SentCounts(accepted=3, sent=2, failed=1)


def run(monkeypatch: pytest.MonkeyPatch, account: AccountAudit | None, *arguments: str) -> Result:
    async def answer(*_: object) -> AuditReport:
        return AuditReport((account,) if account else ())

    monkeypatch.setattr(audit, "_audit", answer)
    return CliRunner().invoke(create_app(["audit"]), ["audit", *arguments], env={"COLUMNS": "200"})


def test_clean_books_are_status_0_with_every_number(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = run(monkeypatch, CLEAN)
    assert ended.exit_code == 0
    for shown in ("support-mail", "1,200", "1,299", "rejected(no_author)", "uncertain", "in flight"):
        assert shown in ended.stdout


@pytest.mark.parametrize("loss", [{"missing": 1}, {"unjournalled": 2}])
def test_a_loss_is_status_1(monkeypatch: pytest.MonkeyPatch, loss: dict[str, int]) -> None:
    """P3: fails on anything missing, and on an event that no journalled intake explains."""
    ended = run(monkeypatch, AccountAudit("support-mail", intakes=1, events=1, **loss), "--json")
    assert ended.exit_code == 1
    (line,) = [json.loads(text) for text in ended.stdout.splitlines()]
    assert {name: line[name] for name in loss} == loss


def test_json_lines_hold_what_the_interface_names(monkeypatch: pytest.MonkeyPatch) -> None:
    line = json.loads(run(monkeypatch, CLEAN, "--json").stdout)
    assert line["outcomes"] == {"rejected(no_author)": 1, "stored": 1299}
    assert line["outgoing"] == {"accepted": 3, "sent": 2, "failed": 1, "uncertain": 0, "in_flight": 0}


def test_nothing_taken_in_is_said_beside_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = run(monkeypatch, None)
    assert (ended.exit_code, ended.stdout) == (0, "")


def test_a_folder_without_data_is_wrong_use(tmp_path: Path) -> None:
    ended = CliRunner().invoke(create_app(["audit"]), ["audit", "--data", str(tmp_path / "dta")])
    assert ended.exit_code != 0
    assert not (tmp_path / "dta").exists()


def test_times_are_read_with_and_without_a_zone() -> None:
    assert read_time("2026-11-23") == datetime(2026, 11, 23, tzinfo=UTC)
    assert read_time("2026-11-23T09:00:00+01:00") == datetime(2026, 11, 23, 8, tzinfo=UTC)
    with pytest.raises(BadParameter, match="2026-11-23"):
        read_time("yesterday")
