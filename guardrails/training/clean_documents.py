"""Clean documents of 4,000 characters and more, from what every Python installation holds."""

from __future__ import annotations

import ast
import importlib.metadata
import itertools
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "CHARS",
    "descriptions",
    "docstrings",
    "modules",
    "pages",
    "short_descriptions",
    "submodules",
]

CHARS: Final = 4_500
_LONG: Final = 4_000
_SHORTEST: Final = 500
_PIECES: Final = 3
# This distribution: a threshold should not follow its own description.
_OURS: Final = "vedette"
_LIBRARY: Final = Path(sysconfig.get_paths()["stdlib"])
_PACKAGES: Final = ("asyncio", "email", "http", "json", "logging", "unittest", "xml", "importlib")


def modules() -> Iterator[str]:
    """Source of the standard library's modules."""
    yield from _long(path.read_text(encoding="utf-8") for path in sorted(_LIBRARY.glob("*.py")))


def submodules() -> Iterator[str]:
    """Source of the modules inside its packages."""
    paths = (path for name in _PACKAGES for path in sorted((_LIBRARY / name).rglob("*.py")))
    yield from _long(path.read_text(encoding="utf-8") for path in paths)


def docstrings() -> Iterator[str]:
    """Documentation of the standard library's modules, a module a text."""
    for path in sorted(_LIBRARY.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        ]
        text = "\n\n".join(filter(None, (ast.get_docstring(node) for node in nodes)))
        if len(text) > 500:
            yield text[:CHARS]


def descriptions() -> Iterator[str]:
    """What the installed distributions say about themselves, in at most three long pieces."""
    for _, text in sorted(dict(_described()).items()):
        pieces = (text[at : at + CHARS] for at in range(0, len(text), CHARS))
        yield from _long(itertools.islice(pieces, _PIECES))


def short_descriptions() -> Iterator[str]:
    """The same of those that say less than a long piece."""
    for _, text in _described():
        if _SHORTEST <= len(text) < _LONG:
            yield text


def pages(talk: Iterable[str]) -> Iterator[str]:
    """What people say, one after another until a page is long."""
    page = ""
    for text in talk:
        page += text + "\n\n"
        if len(page) >= _LONG:
            yield page[:CHARS]
            page = ""


def _long(texts: Iterable[str]) -> Iterator[str]:
    return (text[:CHARS] for text in texts if len(text) >= _LONG)


def _described() -> Iterator[tuple[str, str]]:
    """Name and description of every installed distribution but this one."""
    for each in importlib.metadata.distributions():
        name = each.metadata["Name"]
        if name != _OURS:
            yield name, str(each.metadata.get_payload())  # type: ignore[attr-defined]
