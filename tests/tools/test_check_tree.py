"""The layout check of `make lint` finds each kind of breach, and nothing in a tree that is right."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def check_tree() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_tree", ROOT / "tools" / "check_tree.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules.pop("check_tree", None)
    return module


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    files = {
        "libs/one/pyproject.toml": "",
        "libs/one/README.md": "# one\n",
        "libs/one/src/one/py.typed": "",
        "libs/one/src/one/mail.py": "ANSWER = 42\n",
        "libs/one/tests/unit/test_mail.py": "",
        "tests/e2e/test_journey.py": "",
        "requirements/runtime.in": "# runs\npydantic\n",
        "requirements/runtime.txt": "pydantic==2.14.3 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n    # via -r runtime.in\n",
        "requirements/router.txt": "pydantic==2.14.3 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n",
        "services/router/Dockerfile": "FROM base\n",
        "docs/dependencies.md": "| package |\n| --- |\n| `pydantic` | models |\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_right_tree_has_no_breach(check_tree: ModuleType, tree: Path) -> None:
    assert check_tree.breaches(tree) == []


@pytest.mark.parametrize(
    ("path", "text", "breach"),
    [
        ("libs/one/tests/unit/__init__.py", "", "hold no __init__.py"),
        ("tests/e2e/test_mail.py", "", "give each test module its own name"),
        ("libs/one/src/one/late.py", "x = 1  # TODO: more\n", "libs/one/src/one/late.py:1: TODO in shipped code"),
        ("requirements/dev.txt", "--index-url https://registry.example/simple\n", "dev.txt:1: names a registry"),
        ("requirements/dev.in", "requests\n", "dev.in: requests has no line in docs/dependencies.md"),
        ("cli/pyproject.toml", "", "cli: README.md is missing"),
        ("services/chat/Dockerfile", "FROM base\n", "services/chat/Dockerfile: requirements/chat.txt is missing"),
        ("requirements/router.txt", "pydantic==2.14.2 \\\n    --hash=sha256:00\n", "router.txt:1: differs from runtime.txt"),
        ("requirements/router.txt", "pydantic==2.14.3 \\\n    --hash=sha256:22\n", "router.txt:2: differs from runtime.txt"),
    ],
)
def test_each_breach_is_one_line_that_names_the_place(check_tree: ModuleType, tree: Path, path: str, text: str, breach: str) -> None:
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    (tree / path).write_text(text)
    assert any(breach in line for line in check_tree.breaches(tree))
