"""What a detector catches and what it flags wrongly, source by source, at one threshold a role."""

from __future__ import annotations

import ast
import json
import sysconfig
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .calibration import BUDGETS, QUESTIONS, UNTOUCHED, in_calibration_half
from .clean_documents import descriptions, pages, submodules
from .metrics import auprc, auroc, share_above
from .rows import asks
from .samples import DOCUMENTS, HELD_OUT, WRITTEN, Sample
from .synthetic.disguises import DISGUISES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Scores = Mapping[str, float]
    Scorer = Callable[[Sequence[str]], Sequence[Scores]]

__all__ = ["Thresholds", "attack_score", "evaluate", "measured", "planted_in"]

_OPENAI: Final[Mapping[str, tuple[str, ...]]] = {
    "hate": ("hate", "hate/threatening"),
    "harassment": ("harassment",),
    "violence": ("violence", "violence/graphic"),
    "self_harm": ("self-harm",),
    "sexual": ("sexual", "sexual/minors"),
}
# A set with fewer texts says nothing about one in a hundred.
_FEWEST: Final = 25
_LENGTHS: Final = ((0, 200), (200, 1000), (1000, 4000), (4000, 1 << 30))


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Where a text counts as flagged: said by a user, inside a document, and for its topic."""

    direct: float = 0.5
    planted: float = 0.5
    topics: float = 0.5

    def attack(self, sample: Sample) -> float:
        """The threshold of an attack for this sample's role."""
        return self.planted if sample.document else self.direct


def attack_score(sample: Sample, scores: Scores) -> float:
    """The score of an attack for this sample's role."""
    return scores["planted" if sample.document else "direct"]


def evaluate(
    samples: Iterable[Sample], scorer: Scorer, *, thresholds: Thresholds, parts: Path | None = None
) -> dict[str, Any]:
    """Figures by source; sources that trained and the half that calibrated are left out."""
    chosen = measured(samples, parts)
    scores = list(zip(chosen, scorer([s.text for s in chosen]), strict=True))
    attacks = [(s, x) for s, x in scores if not s.source.startswith(_TOPICS)]
    return {
        "attacks": _by(attacks, thresholds, label=1),
        "harmless": _by(attacks, thresholds, label=0),
        "by length": _lengths(attacks, thresholds),
        "by language": _languages(attacks, thresholds),
        "calibration": _calibration(attacks),
        "ranking": _ranking(attacks),
        "topics": _topics(scores, thresholds),
        "hate functions": _functions(scores, thresholds),
        "disguises": _disguised(attacks, scorer, thresholds),
    }


def measured(samples: Iterable[Sample], parts: Path | None) -> list[Sample]:
    """What may measure: neither trained on nor used for thresholds; and planted orders."""
    unseen = [s for s in samples if not s.trained]
    planted = planted_in(_carriers(unseen), parts) if parts is not None else []
    measuring = [s for s in unseen if not _calibrates(s)]
    return measuring + _questions(measuring) + _clean(measuring) + planted


def _questions(samples: Sequence[Sample]) -> list[Sample]:
    """Plain questions, found where a document is expected."""
    return [
        replace(each, source="questions", family="as documents", document=True)
        for each in samples
        if each.source in QUESTIONS and asks(each.text)
    ]


def _clean(samples: Sequence[Sample]) -> list[Sample]:
    """Clean documents of 4,000 characters and more; those that set thresholds are others."""
    families = {
        "code": list(submodules()),
        "descriptions": [text for text in descriptions() if not in_calibration_half(text)],
    } | {
        name: list(pages(s.text for s in samples if s.source == name)) for name in sorted(DOCUMENTS)
    }
    return [
        Sample(text=text, label=0, source="clean_documents", family=family, document=True)
        for family, texts in families.items()
        for text in texts
    ]


def _calibrates(sample: Sample) -> bool:
    """Whether this text set the thresholds."""
    if sample.label or sample.source not in (HELD_OUT | {WRITTEN}) - {UNTOUCHED}:
        return False
    return in_calibration_half(sample.text)


_TOPICS: Final = ("mod_", "hate_", "benign_group")


def _name(sample: Sample) -> str:
    role = "document" if sample.document else "user"
    return "/".join(filter(None, (sample.source, sample.family, role)))


def _by(
    scores: Sequence[tuple[Sample, Scores]], thresholds: Thresholds, *, label: int
) -> dict[str, dict[str, float]]:
    groups: dict[str, list[tuple[float, float]]] = {}
    for sample, each in scores:
        if sample.label == label:
            pair = (attack_score(sample, each), thresholds.attack(sample))
            groups.setdefault(_name(sample), []).append(pair)
    return {
        name: {
            "texts": len(pairs),
            "flagged": sum(score > at for score, at in pairs) / len(pairs),
            "flagged at 5 %": sum(score > 0.3 for score, _ in pairs) / len(pairs),
        }
        for name, pairs in sorted(groups.items())
    }


def _lengths(
    scores: Sequence[tuple[Sample, Scores]], thresholds: Thresholds
) -> dict[str, dict[str, float]]:
    groups: dict[str, list[tuple[Sample, Scores]]] = {}
    for low, high in _LENGTHS:
        for document in (False, True):
            name = f"{'document' if document else 'user'}, {low} characters and more"
            groups[name] = [
                (s, x) for s, x in scores if s.document is document and low <= len(s.text) < high
            ]
    return {name: _shares(each, thresholds) for name, each in groups.items() if each}


def _languages(
    scores: Sequence[tuple[Sample, Scores]], thresholds: Thresholds
) -> dict[str, dict[str, float]]:
    """By language, where a text says which it is."""
    groups: dict[str, list[tuple[Sample, Scores]]] = {}
    for sample, each in scores:
        if sample.language:
            groups.setdefault(sample.language, []).append((sample, each))
    return {name: _shares(each, thresholds) for name, each in sorted(groups.items())}


def _shares(scores: Sequence[tuple[Sample, Scores]], thresholds: Thresholds) -> dict[str, float]:
    flags: dict[int, list[bool]] = {0: [], 1: []}
    for sample, each in scores:
        flags[sample.label].append(attack_score(sample, each) > thresholds.attack(sample))
    out: dict[str, float] = {}
    for label, name in ((1, "attacks"), (0, "harmless")):
        if flags[label]:
            out |= {name: len(flags[label]), f"{name} flagged": float(np.mean(flags[label]))}
    return out


def _calibration(scores: Sequence[tuple[Sample, Scores]]) -> dict[str, dict[str, float]]:
    """What a score promises of harmless texts, and what it keeps: of all, and in the worst set."""
    out = {}
    for document in (False, True):
        groups: dict[str, list[float]] = {}
        for sample, each in scores:
            if not sample.label and sample.document is document:
                groups.setdefault(_name(sample), []).append(attack_score(sample, each))
        for at, budget in BUDGETS.items():
            every = [score for each in groups.values() for score in each]
            worst = [share_above(at, each) for each in groups.values() if len(each) >= _FEWEST]
            out[f"{'document' if document else 'user'}, score {at}"] = {
                "promised": budget,
                "kept": share_above(at, every),
                "worst set": max(worst, default=float("nan")),
            }
    return out


def _ranking(scores: Sequence[tuple[Sample, Scores]]) -> dict[str, float]:
    out = {}
    for document in (False, True):
        pairs = [(attack_score(s, x), s.label) for s, x in scores if s.document is document]
        out["document AUROC" if document else "user AUROC"] = auroc(
            [score for score, _ in pairs], [label for _, label in pairs]
        )
    return out


def any_topic(scores: Scores) -> float:
    """How much a text needs care, whatever the topic."""
    return max(scores[head] for head in (*_OPENAI, "illicit"))


def _topics(
    scores: Sequence[tuple[Sample, Scores]], thresholds: Thresholds
) -> dict[str, dict[str, float]]:
    out: dict[str, dict[str, float]] = {}
    given = [(s, x) for s, x in scores if s.source == "mod_openai_dev"]
    if given:
        out["openai, any"] = _ranked([(any_topic(x), s.label) for s, x in given])
        for head, names in _OPENAI.items():
            known = [
                (x[head], max(s.topics[n] for n in names if n in s.topics))
                for s, x in given
                if any(name in s.topics for name in names)
            ]
            out[f"openai, {head}"] = _ranked(known)
    for source in sorted({s.source for s, _ in scores if s.source.startswith(_TOPICS)}):
        head = "hate" if "hate" in source else "harassment"
        pairs = [
            (x[head] if source != "mod_openai_dev" else any_topic(x), s.label)
            for s, x in scores
            if s.source == source
        ]
        out[source] = _ranked(pairs)
    plain = [any_topic(x) for s, x in scores if not s.label and not s.source.startswith(_TOPICS)]
    mention = [any_topic(x) for s, x in scores if s.source == "benign_group_mentions"]
    out["harmless texts"] = {"flagged": share_above(thresholds.topics, plain)}
    out["mere mentions of a group"] = {"flagged": share_above(thresholds.topics, mention)}
    return out


def _ranked(pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    scores, labels = [score for score, _ in pairs], [label for _, label in pairs]
    return {"texts": len(pairs), "AUPRC": auprc(scores, labels), "AUROC": auroc(scores, labels)}


def _functions(
    scores: Sequence[tuple[Sample, Scores]], thresholds: Thresholds
) -> dict[str, dict[str, float]]:
    groups: dict[str, list[tuple[float, int]]] = {}
    for sample, each in scores:
        if sample.source == "hate_functional":
            groups.setdefault(sample.family, []).append((each["hate"], sample.label))
    return {
        name: {
            "texts": len(pairs),
            "hateful": pairs[0][1],
            "flagged": share_above(thresholds.topics, [score for score, _ in pairs]),
            "flagged at 5 %": share_above(0.3, [score for score, _ in pairs]),
        }
        for name, pairs in groups.items()
    }


def _disguised(
    scores: Sequence[tuple[Sample, Scores]], scorer: Scorer, thresholds: Thresholds
) -> dict[str, dict[str, float]]:
    """Recall on short known attacks, plain and in each disguise."""
    known = [s.text for s, _ in scores if s.label and not s.document and len(s.text) <= 300]
    known = [text for text in known if text.isascii()][:150]
    if not known:
        return {}
    ways: Mapping[str, Callable[[str], str]] = {"none": str, **DISGUISES}
    return {
        name: {
            "texts": len(known),
            "flagged": share_above(
                thresholds.direct, [x["direct"] for x in scorer([hide(t) for t in known])]
            ),
        }
        for name, hide in ways.items()
    }


def _carriers(samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Clean documents to plant orders in: of the samples, and of Python's own library."""
    found = [s.text for s in samples if s.document and not s.label and len(s.text) > 300]
    library = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8", errors="ignore")))
        if docstring and len(docstring) > 400:
            library.append(docstring)
    return {"documents": found, "library": library}


def planted_in(
    carriers: Mapping[str, Sequence[str]], parts: Path, *, seed: int = 5
) -> list[Sample]:
    """Orders planted bare and behind an override phrase, in short and in long documents."""
    rng = Random(seed)
    pieces: dict[str, list[str]] = {"order": [], "override": []}
    for line in parts.read_text(encoding="utf-8").splitlines():
        item = json.loads(line)
        pieces[item["meta"]["part"]].append(item["text"])
    pool = [text for texts in carriers.values() for text in texts]
    out = []
    for order in pieces["order"] * 2:
        for long in (False, True):
            for override in ("", rng.choice(pieces["override"])):
                document = _of_length(pool, 4000 if long else 700, rng)
                text = _insert(document, f"{override} {order}".strip(), rng)
                kind, size = "wrapped" if override else "bare", "4000" if long else "700"
                family = f"{kind}, {size} characters"
                out.append(
                    Sample(text=text, label=1, source="planted_parts", family=family, document=True)
                )
    return out


def _of_length(pool: Sequence[str], chars: int, rng: Random) -> str:
    text = ""
    while len(text) < chars:
        text += rng.choice(pool) + "\n"
    return text[:chars]


def _insert(document: str, payload: str, rng: Random) -> str:
    """At the start, the end, or after a line or sentence between."""
    ends = [
        at for at, char in enumerate(document[:-1], 1) if char in ".\n" and document[at].isspace()
    ]
    at = rng.choice((0, len(document), rng.choice(ends or [0])))
    return f"{document[:at]} {payload} {document[at:]}".strip()
