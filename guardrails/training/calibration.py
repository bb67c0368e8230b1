"""Scores from logits: anchors at false-positive budgets, on harmless texts that did not train."""

from __future__ import annotations

import ast
import sysconfig
import zlib
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

import numpy as np

from guardrails.classifier.manifest import Anchors

from .metrics import threshold_at
from .rows import HEADS, MODERATION, Row
from .synthetic.carriers import BUILDERS
from .synthetic.grammar import packaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["BUDGETS", "UNTOUCHED", "anchors", "in_calibration_half", "pools"]

# Score to false-positive budget; see `Anchors`.
BUDGETS: Final = {0.1: 0.2, 0.3: 0.05, 0.5: 0.01, 0.9: 0.001}
# Published figures exist for this set, so it only measures.
UNTOUCHED: Final = "mod_openai_dev"
_DOCUMENT_CHARS: Final = 4_500
_DOCUMENTS: Final = 90

Pools = dict[str, dict[str, list[str]]]


def in_calibration_half(text: str) -> bool:
    """Held-out harmless texts are halved: one half sets thresholds, the other measures."""
    return zlib.crc32(text.encode()) % 2 == 0


def pools(held_out: Sequence[Row], prose: Mapping[str, Sequence[str]], *, seed: int) -> Pools:
    """Harmless texts by head and family.

    Args:
        held_out: rows of sources that never train; the calibration half of them is used.
        prose: ordinary texts by family, to be read as documents.
        seed: of the synthetic documents.
    """
    rng = Random(seed)
    users: dict[str, list[str]] = {}
    documents: dict[str, list[str]] = {
        family: list(texts)[:_DOCUMENTS] for family, texts in prose.items()
    }
    topics: dict[str, list[str]] = {}
    for row in held_out:
        if not in_calibration_half(row.text) or row.source == UNTOUCHED:
            continue
        if row.labels.get("direct") == 0.0 and not row.source.startswith("mod_"):
            users.setdefault(row.source, []).append(row.text)
        if row.labels.get("planted") == 0.0:
            documents.setdefault(row.source, []).append(row.text)
        known = [row.labels[head] for head in MODERATION if head in row.labels]
        if known and not any(known):
            topics.setdefault(row.source, []).append(row.text)
    grammar = packaged()
    users["lookalikes"] = [grammar.expand("benign_user", rng) for _ in range(600)]
    users["languages"] = _languages(rng, 300)
    documents["synthetic"] = [_long(rng) for _ in range(_DOCUMENTS)]
    documents["library code"] = list(_library(rng, source=True))
    documents["library documentation"] = list(_library(rng, source=False))
    documents["languages"] = [" ".join(_languages(rng, 30)) for _ in range(60)]
    topics["lookalikes"] = users["lookalikes"]
    topics["languages"] = users["languages"]
    return {"direct": users, "planted": documents} | dict.fromkeys(MODERATION, topics)


def anchors(
    pools: Pools, logits: Callable[[Sequence[str]], Sequence[Mapping[str, float]]]
) -> dict[str, Anchors]:
    """Anchors of every head.

    Args:
        pools: harmless texts by head and family.
        logits: the model, reading each text in windows.
    """
    out: dict[str, Anchors] = {}
    known: dict[int, Sequence[Mapping[str, float]]] = {}
    for head in HEADS:
        families = {}
        for family, texts in pools[head].items():
            key = id(texts)  # heads share their pools: each text is read once
            if key not in known:
                known[key] = logits(texts)
            families[family] = [each[head] for each in known[key]]
        out[head] = _anchors(families)
    return out


def _anchors(families: Mapping[str, Sequence[float]]) -> Anchors:
    everything = np.concatenate([np.asarray(values) for values in families.values()])
    points = [(float(everything.min()) - 1.0, 0.0)]
    for score, budget in BUDGETS.items():
        logit = threshold_at(budget, families)
        points.append((max(logit, points[-1][0] + 0.05), score))
    points.append((points[-1][0] + 4.0, 1.0))
    return Anchors(tuple(logit for logit, _ in points), tuple(score for _, score in points))


def _languages(rng: Random, count: int) -> list[str]:
    grammar = packaged(["languages", "slots"])
    grammar.rules["evil"] = grammar.rules["name"]
    names = sorted(name for name in grammar.rules if name.endswith("_benign"))
    return [grammar.expand(rng.choice(names), rng) for _ in range(count)]


def _long(rng: Random) -> str:
    grammar = packaged()
    builder = rng.choice(BUILDERS)
    text = ""
    while len(text) < _DOCUMENT_CHARS:
        harmless = grammar.expand("benign_splice", rng) if rng.random() < 0.3 else ""
        text += builder(rng, grammar, harmless) + "\n"
    return text[:_DOCUMENT_CHARS]


def _library(rng: Random, *, source: bool) -> Iterator[str]:
    """The standard library's own source or documentation, a stretch a module."""
    paths = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    for path in rng.sample(paths, min(len(paths), _DOCUMENTS)):
        text = path.read_text(encoding="utf-8", errors="replace")
        if not source:
            tree = ast.parse(text)
            nodes = [
                n
                for n in ast.walk(tree)
                if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)
            ]
            text = "\n\n".join(filter(None, (ast.get_docstring(node) for node in nodes)))
        if len(text) > 500:
            yield text[:_DOCUMENT_CHARS]
