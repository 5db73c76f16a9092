"""The AsyncAPI document: what stands in docs/ is what the code declares, and every reference in it leads somewhere."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from threadline_events import topics

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docs" / "asyncapi.yaml"


def references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_the_document_is_what_the_code_declares() -> None:
    said = subprocess.run([sys.executable, ROOT / "tools" / "asyncapi.py", "--check"], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr


def test_every_topic_is_in_it_with_who_works_it_off_and_every_reference_leads_somewhere() -> None:
    document = yaml.safe_load(FILE.read_text())
    assert set(document["channels"]) == {name for topic in topics.ALL for name in (topic, topics.dead_letter_topic(topic))}
    worked_off = {one["channel"]["$ref"].removeprefix("#/channels/") for one in document["operations"].values()}
    assert worked_off == set(topics.ALL) - {topics.TIMELINE}
    for reference in references(document):
        if reference.startswith("#/"):
            found = document
            for step in reference.removeprefix("#/").split("/"):
                found = found[step]
        else:
            assert json.loads((FILE.parent / reference).read_text())
