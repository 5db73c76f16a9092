"""Commands shown in the docs exist: each `make` verb, each `threadline` verb, each `python -m` module."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest
import typer.main
from ingest_email.app import mail_accounts
from notifier.app import sending_accounts
from threadline_cli.main import create_app
from threadline_runtime.configuration.configuration import load_configuration

ROOT = Path(__file__).resolve().parent.parent.parent
# The roadmap and the decisions speak of what comes later.
EXCLUDED = {ROOT / "docs" / "roadmap.md"}
CODE = re.compile(r"```.*?\n(.*?)```|`([^`\n]+)`", re.DOTALL)
YAML = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
SHOWN = {
    "make": re.compile(r"(?:^|[\s;&])make ([a-z][a-z-]*)", re.MULTILINE),
    "threadline": re.compile(r"(?:^|[\s;&/])threadline ([a-z][a-z-]*)", re.MULTILINE),
    "python -m": re.compile(r"python3? -m ([a-z_][a-z_.]*)"),
}


def pages() -> list[Path]:
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for folder in ("libs", "services", "cli"):
        found += (ROOT / folder).rglob("README.md")
    return sorted(page for page in found if page not in EXCLUDED and "adr" not in page.parts)


def shown(program: str) -> list[str]:
    """Every argument that the docs give to a program, in code only."""
    code = ["\n".join(found) for page in pages() for found in CODE.findall(page.read_text())]
    return sorted({name for text in code for name in SHOWN[program].findall(text)})


def accounts_files() -> list[tuple[str, str]]:
    """Every accounts file that the docs show, by page; brands that a page left out are added."""
    found = [(page, text) for page in pages() for text in YAML.findall(page.read_text()) if "accounts:" in text]
    return [
        (str(page.relative_to(ROOT)), text if "brands:" in text else f"brands:\n  acme: {{name: Acme}}\n{text}") for page, text in found
    ]


@pytest.mark.parametrize(("page", "text"), accounts_files())
def test_an_accounts_file_can_be_copied_as_it_stands(page: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "threadline.yaml"
    file.write_text(text)
    configuration, secrets = load_configuration(file), {"SUPPORT_PASSWORD": "x"}
    assert mail_accounts(configuration, secrets)
    assert sending_accounts(configuration, secrets)


def test_the_docs_are_read() -> None:
    assert "test" in shown("make")
    assert "demo" in shown("threadline")
    assert {page for page, _ in accounts_files()} >= {"README.md", "docs/channels/email.md"}


@pytest.mark.parametrize("verb", shown("make"))
def test_make_knows_the_verb(verb: str) -> None:
    dry = subprocess.run(["make", "-n", verb], cwd=ROOT, capture_output=True, text=True, check=False)
    assert dry.returncode == 0, dry.stderr


@pytest.mark.parametrize("verb", shown("threadline"))
def test_threadline_knows_the_verb(verb: str) -> None:
    group = typer.main.get_group(create_app())
    assert verb in group.commands


@pytest.mark.parametrize("module", shown("python -m"))
def test_the_module_can_be_run(module: str) -> None:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    if spec.submodule_search_locations is not None:
        assert importlib.util.find_spec(f"{module}.__main__") is not None
