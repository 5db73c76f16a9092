"""A YAML document with the line of every key, so that a mistake can be shown where it stands.

Not here: what keys there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from threadline_runtime.errors import ConfigurationError

__all__ = ["Document", "KeyPath", "Value", "read_document"]

Value = object
"""A YAML value: a scalar, a list of values, or a dict of text to values."""
KeyPath = tuple[str | int, ...]
_DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Document:
    """The values, and the line of each key and item."""

    file: Path
    values: dict[str, Value]
    lines: Mapping[KeyPath, int]

    def mistake(self, path: KeyPath, problem: str) -> ConfigurationError:
        """An error that names the file and the line nearest to `path`."""
        near = path
        while near and near not in self.lines:
            near = near[:-1]
        return ConfigurationError(f"{self.file}:{self.lines.get(near, 1)}: {problem}")


def read_document(file: Path) -> Document:
    """Read the file; raises ConfigurationError for one that is missing, no YAML, or no mapping."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"cannot read {file}: there is none: write it as the README shows, or give another with --config"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {error.strerror}: give another with --config") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file} is not UTF-8 text") from error
    lines: dict[KeyPath, int] = {}
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        values = {} if node is None else _build(loader, node, (), lines, file)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{file}:{line}: no YAML: {error.problem}") from error
    except RecursionError as error:
        raise ConfigurationError(f"{file}: nested too deeply") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{file}: no YAML: {' '.join(str(error).split())}") from error
    finally:
        loader.dispose()
    if not isinstance(values, dict):
        raise ConfigurationError(f"{file}:1: the file is a mapping with brands, accounts and desks")
    return Document(file, values, lines)


def _build(loader: yaml.SafeLoader, node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], file: Path) -> Value:
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if len(path) > _DEEPEST:
        raise ConfigurationError(f"{file}:{line}: nested too deeply")
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, item, (*path, i), lines, file) for i, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return loader.construct_object(node)
    loader.flatten_mapping(node)
    built: dict[str, Value] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value)
        at = key_node.start_mark.line + 1
        if key in built:
            raise ConfigurationError(f"{file}:{at}: the key {key!r} stands twice")
        lines[*path, key] = at
        built[key] = _build(loader, value_node, (*path, key), lines, file)
    return built
