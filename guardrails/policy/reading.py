"""Reads policy files and says everything that is wrong with them in one message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from vedette.counting import counted

from .document import PolicyDocument

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pydantic_core import ErrorDetails

__all__ = ["PolicyError", "read_folder"]

_MAX_FILE_BYTES = 1024 * 1024
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")

_REMEDIES = {
    "extra_forbidden": "no such key; remove it or correct its spelling",
    "missing": "this key is required; add it",
}


class PolicyError(Exception):
    """Policies are wrong; the text lists every mistake with file, place, rule and remedy."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        """Keep the mistakes, one line each."""
        self.mistakes = tuple(mistakes)
        lines = "\n".join(f"  - {mistake}" for mistake in self.mistakes)
        super().__init__(f"{counted(len(self.mistakes), 'mistake')} in the policies:\n{lines}")


class _StrictLoader(yaml.SafeLoader):
    """YAML as people mean it: a key written twice is a mistake, not the last one wins."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key!r} stands here twice", problem_mark=key_node.start_mark
                )
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep=deep)


def read_folder(folder: Path) -> dict[str, PolicyDocument]:
    """Every policy in a folder by name: `NAME.yaml` holds the policy NAME.

    Raises:
        PolicyError: with every mistake in every file.
    """
    documents: dict[str, PolicyDocument] = {}
    mistakes: list[str] = []
    for path in policy_files(folder):
        if not _NAME.fullmatch(path.stem):
            mistakes.append(
                f"{path}: the file name is the policy's name; use a-z, 0-9, - and _, a letter first"
            )
            continue
        try:
            documents[path.stem] = _read(path)
        except PolicyError as error:
            mistakes += error.mistakes
    if mistakes:
        raise PolicyError(mistakes)
    return documents


def policy_files(folder: Path) -> list[Path]:
    """The policy files of a folder, in order of name.

    Raises:
        PolicyError: if there is no such folder or it cannot be read.
    """
    try:
        return sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"})
    except OSError as error:
        raise PolicyError([f"{folder}: cannot read the folder: {error.strerror}"]) from error


def _read(path: Path) -> PolicyDocument:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PolicyError([f"{path}: cannot read the file: {error.strerror}"]) from error
    if len(content) > _MAX_FILE_BYTES:
        raise PolicyError([f"{path}: larger than {_MAX_FILE_BYTES} bytes; split it"])
    try:
        data = yaml.load(content, _StrictLoader)  # noqa: S506 - derives from SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise PolicyError([f"{path}: not valid YAML: {_yaml_problem(error)}"]) from error
    if not isinstance(data, dict):
        raise PolicyError([f"{path}: a policy is a mapping with `version: 1`, `input`, `output`"])
    try:
        return PolicyDocument.model_validate(data)
    except ValidationError as error:
        raise PolicyError(f"{path}: {line}" for line in _mistakes(error)) from error


def _yaml_problem(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{error.problem} (line {mark.line + 1}, column {mark.column + 1})"
    return "nested too deeply" if isinstance(error, RecursionError) else "unreadable characters"


def _mistakes(error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_url=False, include_input=False):
        yield f"{_place(detail)}: {_REMEDIES.get(detail['type'], detail['msg'])}"


def _place(detail: ErrorDetails) -> str:
    place = ""
    for part in detail["loc"]:
        place += f"[{part}]" if isinstance(part, int) else f".{part}"
    return place.lstrip(".") or "policy"
