"""Scores from logits: anchors at false-positive budgets, on harmless texts that did not train."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

import numpy as np

from guardrails.classifier.manifest import Anchors

from .clean_documents import (
    CHARS,
    descriptions,
    docstrings,
    modules,
    pages,
    short_descriptions,
)
from .corpora import manuals
from .metrics import threshold_at
from .rows import INJECTION, MODERATION, Row, asks
from .samples import DOCUMENTS
from .synthetic.carriers import BUILDERS
from .synthetic.grammar import packaged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "BUDGETS",
    "QUESTIONS",
    "SHORT_CHARS",
    "UNTOUCHED",
    "anchors",
    "in_calibration_half",
    "one_scale",
    "pools",
]

# Score to false-positive budget; see `Anchors`.
BUDGETS: Final = {0.1: 0.2, 0.3: 0.05, 0.5: 0.01, 0.9: 0.001}
# Published figures exist for this set, so it only measures.
UNTOUCHED: Final = "mod_openai_dev"
# Held-out sources of plain questions, which are harmless in a document too.
QUESTIONS: Final = ("benign_selfinstruct_seed", "benign_spikee_finance")
# Texts up to this length have anchors of their own. Longer ones are persona prompts and pages,
# which score higher without being worse.
SHORT_CHARS: Final = 200
# What the one persona prompt says that is a jailbreak and no harmless text.
_JAILBREAK: Final = "do anything now"
# Among the orders that are harmless from a user the grammar has this one, which is an attack.
_REVEALING: Final = re.compile(
    r"(?i)(reveal|show|print|repeat|output|leak) (your|the text above|everything before)"
)
_DOCUMENTS: Final = 60
_PIECES: Final = 100

Pools = dict[str, dict[str, list[str]]]


def in_calibration_half(text: str) -> bool:
    """Held-out harmless texts are halved: one half sets thresholds, the other measures."""
    return zlib.crc32(text.encode()) % 2 == 0


def pools(
    held_out: Sequence[Row], written: Sequence[str], *, wheels: Mapping[str, Path], seed: int
) -> Pools:
    """Harmless texts by head and family.

    Args:
        held_out: rows of sources that never train; the calibration half of them is used.
        written: look-alikes written by hand; the calibration half of them is used.
        wheels: distributions by name, some of them only for this.
        seed: of the synthetic documents.
    """
    rng = Random(seed)
    users: dict[str, list[str]] = {}
    documents: dict[str, list[str]] = {}
    topics: dict[str, list[str]] = {}
    for row in held_out:
        if not in_calibration_half(row.text) or row.source == UNTOUCHED:
            continue
        if _JAILBREAK in row.text.lower():
            continue
        if row.labels.get("direct") == 0.0 and not row.source.startswith("mod_"):
            users.setdefault(row.source, []).append(row.text)
        if row.labels.get("planted") == 0.0:
            documents.setdefault(row.source, []).append(row.text)
        known = [row.labels[head] for head in MODERATION if head in row.labels]
        if known and not any(known):
            topics.setdefault(row.source, []).append(row.text)
    # What people wrote about anything; nobody said of which topics.
    said = sorted(DOCUMENTS & documents.keys())
    grammar = packaged()
    users["written"] = [text for text in written if in_calibration_half(text)]
    lookalikes = [grammar.expand("benign_user", rng) for _ in range(400)]
    users["lookalikes"] = [text for text in lookalikes if not _REVEALING.match(text)]
    users["languages"] = _expanded(rng, 250)
    users["written in languages"] = _written_in_languages()
    documents["synthetic"] = [_long(rng) for _ in range(_DOCUMENTS)]
    documents["library code"] = list(modules())[:_DOCUMENTS]
    documents["library documentation"] = list(docstrings())[:_DOCUMENTS]
    documents["descriptions"] = [text for text in descriptions() if in_calibration_half(text)]
    documents["questions"] = [
        text for source in QUESTIONS for text in users.get(source, ()) if asks(text)
    ]
    documents["short descriptions"] = list(short_descriptions())
    documents["manuals"] = [text[:CHARS] for text in manuals(wheels)][::2]
    documents["pages"] = [page for name in said for page in pages(documents[name])]
    documents["languages"] = [" ".join(_expanded(rng, 30)) for _ in range(60)]
    documents["written in languages"] = users["written in languages"]
    documents |= {f"{family}, in pieces": _pieces(texts) for family, texts in documents.items()}
    topics["lookalikes"] = users["lookalikes"]
    topics["languages"] = users["languages"]
    topics["written in languages"] = users["written in languages"]
    topics["written"] = users["written"]
    topics |= {
        f"{family}, documents": texts
        for family, texts in documents.items()
        if not family.startswith((*said, "pages"))
    }
    return {"direct": users, "planted": documents} | dict.fromkeys(MODERATION, topics)


def anchors(
    pools: Pools,
    logits: Callable[[Sequence[str]], Sequence[Mapping[str, float]]],
    *,
    short: bool,
) -> dict[str, Anchors]:
    """Anchors of every head, for short texts or for the others.

    Args:
        pools: harmless texts by head and family.
        logits: the model, reading each text in windows.
        short: for texts of at most `SHORT_CHARS` characters.
    """
    out: dict[str, Anchors] = {}
    known: dict[int, Sequence[Mapping[str, float]]] = {}
    # The topics share their anchors: the budget is of a text that any of them flags, and a
    # score then says the same of each.
    for heads in (*((head,) for head in INJECTION), MODERATION):
        families = {}
        for family, texts in pools[heads[0]].items():
            key = id(texts)  # heads share their pools: each text is read once
            if key not in known:
                known[key] = logits([text for text in texts if (len(text) <= SHORT_CHARS) is short])
            if known[key]:
                families[family] = [max(each[head] for head in heads) for each in known[key]]
        out |= dict.fromkeys(heads, _anchors(families))
    return out


def one_scale(
    long: Mapping[str, Anchors], short: Mapping[str, Anchors]
) -> tuple[dict[str, Anchors], dict[str, Anchors]]:
    """The same with one pair of anchors for topics, at each budget the stricter.

    A score of a topic ranks texts of all lengths; with anchors for two lengths it ranked worse.
    """
    both = {
        head: Anchors(
            tuple(max(pair) for pair in zip(long[head].logits, short[head].logits, strict=True)),
            long[head].scores,
        )
        for head in MODERATION
    }
    return dict(long) | both, dict(short) | both


def _anchors(families: Mapping[str, Sequence[float]]) -> Anchors:
    everything = np.concatenate([np.asarray(values) for values in families.values()])
    points = [(float(everything.min()) - 1.0, 0.0)]
    for score, budget in BUDGETS.items():
        logit = threshold_at(budget, families)
        points.append((max(logit, points[-1][0] + 0.05), score))
    points.append((points[-1][0] + 4.0, 1.0))
    return Anchors(tuple(logit for logit, _ in points), tuple(score for _, score in points))


def _pieces(texts: Sequence[str]) -> list[str]:
    """Short texts out of long ones, at most one of three lines of each."""
    lines = [line.strip() for text in texts for line in text.splitlines()[::3]]
    short = [line for line in lines if 40 <= len(line) <= SHORT_CHARS]
    return short[:: max(1, len(short) // _PIECES)]


def _written_in_languages() -> list[str]:
    """Harmless texts in 24 languages, written by hand for this and for nothing else."""
    table = Path(__file__).with_name("harmless_languages.tsv").read_text(encoding="utf-8")
    return [line.split("\t")[1] for line in table.splitlines()]


def _expanded(rng: Random, count: int) -> list[str]:
    grammar = packaged(["languages", "slots", "tongues"])
    grammar.rules["evil"] = grammar.rules["name"]
    names = sorted(name for name in grammar.rules if name.endswith("_benign"))
    return [grammar.expand(rng.choice(names), rng) for _ in range(count)]


def _long(rng: Random) -> str:
    grammar = packaged()
    builder = rng.choice(BUILDERS)
    text = ""
    while len(text) < CHARS:
        harmless = grammar.expand("benign_splice", rng) if rng.random() < 0.3 else ""
        text += builder(rng, grammar, harmless) + "\n"
    return text[:CHARS]
