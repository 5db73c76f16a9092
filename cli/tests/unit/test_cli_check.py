"""`threadline check` shows where things lie, never the secrets that lead there."""

from pathlib import Path

import pytest
from threadline_cli.checking import check_everything
from threadline_cli.stores import folder_settings
from threadline_runtime.configuration.configuration import load_configuration


@pytest.mark.parametrize(
    "url",
    ["mongodb://u:hunter2@127.0.0.1:1/threadline?connectTimeoutMS=1&serverSelectionTimeoutMS=1", "mongodb://u:hunter2/x@h/d", "hunter2"],
)
async def test_no_finding_holds_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """What was written wrong is told without being repeated."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THREADLINE_DATABASE__URL", url)
    monkeypatch.setenv("THREADLINE_BUS__URL", "kafka://u:hunter2@h:9092")
    monkeypatch.setenv("THREADLINE_SIGNING_KEYS", "hunter2")
    (tmp_path / "threadline.yaml").write_text("brands: {}\naccounts: []\n")
    findings = await check_everything(tmp_path, folder_settings(tmp_path), load_configuration(tmp_path / "threadline.yaml"), {})
    wrong = {finding.name for finding in findings if finding.problem}
    assert {"bus", "database", "signing keys"} <= wrong
    assert "hunter2" not in repr(findings)
