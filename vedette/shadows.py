"""What guardrails wrote down about candidate policies, read and added up."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Report", "Row", "reports"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way in which two policies disagree; the category `*` is what became of the whole."""

    direction: str
    category: str
    active: str
    candidate: str
    count: int
    examples: tuple[dict[str, str], ...]


@dataclass(slots=True, kw_only=True)
class Report:
    """One candidate beside one active policy, each in one version, over all processes."""

    active: str
    active_digest: str
    candidate: str
    candidate_digest: str
    since_s: float
    until_s: float
    compared: dict[str, int] = field(default_factory=dict)
    disagreed: int = 0
    dropped: int = 0
    failed: int = 0
    rows: list[Row] = field(default_factory=list)

    def add(self, tally: dict[str, Any]) -> None:
        """Add what one process counted."""
        self.since_s = min(self.since_s, tally["since_s"])
        self.until_s = max(self.until_s, tally["until_s"])
        for direction, count in tally["compared"].items():
            self.compared[direction] = self.compared.get(direction, 0) + count
        self.disagreed += tally["disagreed"]
        self.dropped += tally["dropped"]
        self.failed += tally["failed"]
        known = {_key(row): row for row in self.rows}
        for entry in tally["rows"]:
            row = Row(**entry | {"examples": tuple(entry["examples"])})
            known[_key(row)] = _added(known.get(_key(row)), row)
        self.rows = sorted(known.values(), key=lambda row: (-row.count, _key(row)))


def reports(folder: Path) -> list[Report]:
    """A report for each pair of versions, the latest first; files of another make are left out."""
    found: dict[tuple[str, str, str, str], Report] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            tally = json.loads(path.read_text(encoding="utf-8"))
            pair = {name: tally[name] for name in _PAIR}
            times = {name: tally[name] for name in ("since_s", "until_s")}
            report = found.setdefault(tuple(pair.values()), Report(**pair, **times))
            report.add(tally)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return sorted(found.values(), key=lambda report: -report.until_s)


_PAIR = ("active", "active_digest", "candidate", "candidate_digest")


def _key(row: Row) -> tuple[str, str, str, str]:
    return row.direction, row.category, row.active, row.candidate


def _added(known: Row | None, row: Row) -> Row:
    if known is None:
        return row
    return Row(
        direction=row.direction,
        category=row.category,
        active=row.active,
        candidate=row.candidate,
        count=known.count + row.count,
        examples=known.examples + row.examples,
    )
