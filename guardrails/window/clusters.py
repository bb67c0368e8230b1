"""Findings of several detectors over one text, brought into one order.

Findings that overlap form a cluster, and a cluster is treated as one: it is blocked if any
finding in it blocks; otherwise its redacted stretches are merged, and each merged stretch is
replaced once, in the name of its longest finding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from guardrails.findings import Finding

__all__ = ["Cluster", "Replacement", "clusters", "order"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """A stretch to rewrite, and the finding in whose name."""

    start: int
    end: int
    finding: Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Findings that overlap, in order of position."""

    start: int
    end: int
    findings: tuple[Finding, ...]

    @property
    def blocks(self) -> bool:
        """Whether the text must end before this cluster."""
        return any(finding.treatment.blocks for finding in self.findings)

    def replacements(self) -> Iterator[Replacement]:
        """The stretches to rewrite, from left to right."""
        redacted = [finding for finding in self.findings if finding.treatment.replaces]
        for merged in clusters(redacted):
            longest = max(merged.findings, key=lambda f: (f.end - f.start, f.score, f.rule_id))
            yield Replacement(start=merged.start, end=merged.end, finding=longest)


def order(finding: Finding) -> tuple[int, int, str, str, str]:
    """The one order of findings: by position, then by name."""
    return finding.start, finding.end, finding.detector, finding.category, finding.rule_id


def clusters(findings: Iterable[Finding]) -> Iterator[Cluster]:
    """Group findings that overlap; those that only touch stay apart."""
    group: list[Finding] = []
    end = 0
    for finding in sorted(findings, key=order):
        if group and finding.start >= end:
            yield Cluster(start=group[0].start, end=end, findings=tuple(group))
            group = []
        end = max(end, finding.end) if group else finding.end
        group.append(finding)
    if group:
        yield Cluster(start=group[0].start, end=end, findings=tuple(group))
