"""Texts to measure on, from any folder of JSON lines: `{"text", "label", "role"?, "meta"?}`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .sources import FILES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["DOCUMENTS", "HELD_OUT", "WRITTEN", "Sample", "read_samples"]

_INSIDE: Final = (
    "document", "tool", "page", "web", "email", "mail", "memory", "metadata", "file", "retriev",
)  # fmt: skip
_INDIRECT: Final = ("bipia", "indirect", "tasktracker", "agent", "injecagent", "longdoc", "poison")
HELD_OUT: Final = {source.name for source in FILES if source.held_out}
# Held-out sources whose rows are parts of clean documents, whatever else they are labelled with.
DOCUMENTS: Final = {name for name in HELD_OUT if name.startswith("pii_")}
# Look-alikes written by hand, in the folder of hand-written sets.
WRITTEN: Final = "benign_lookalikes"
_TRAINED: Final = {source.name for source in FILES if not source.held_out}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One text, whether it is what a detector looks for, and by whom it is said."""

    text: str
    label: int
    source: str
    family: str
    document: bool
    trained: bool = False
    language: str = ""
    topics: Mapping[str, float] = field(default_factory=dict)


def read_samples(folder: Path, *, most: int = 1000) -> Iterator[Sample]:
    """The rows of every file whose label is a number; those with spans are harmless or not ours.

    Of a file with more than `most` such rows, that many at equal distances.

    The role is `role` of the row or of its meta, else its channel, else what the file's name
    suggests, else the user's.
    """
    for path in sorted(folder.glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        if path.stem in DOCUMENTS:
            rows = [row | {"label": 0, "role": "document"} for row in rows]
        rows = [row for row in rows if isinstance(row.get("label"), int)]
        rows = [row for row in rows if "part" not in (row.get("meta") or {})]
        chosen = min(len(rows), most)
        for at in range(chosen):
            row = rows[at * len(rows) // chosen]
            yield _sample(row, row.get("meta") or {}, path.stem)


def _sample(item: Mapping[str, Any], meta: Mapping[str, Any], source: str) -> Sample:
    return Sample(
        text=item["text"],
        label=item["label"],
        source=source,
        family=str(meta.get("family") or meta.get("function") or ""),
        document=_document(item, meta, source),
        trained=source in _TRAINED,
        language=str(meta.get("language") or meta.get("lang") or ""),
        topics=meta.get("categories") or {},
    )


def _document(item: Mapping[str, Any], meta: Mapping[str, Any], source: str) -> bool:
    said = item.get("role") or meta.get("role") or meta.get("channel")
    if said:
        return any(word in str(said).lower() for word in _INSIDE) and said != "user_message"
    return source.startswith("inj_") and any(word in source for word in _INDIRECT)
