"""Puts the rows together: files and translations, cleaned, apart from what is held out."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from guardrails.classifier.checkpoints import Checkpoints

from .cleaning import NearDuplicates, clean
from .rows import Row, moderation
from .sources import FILES, library_files, read, translations
from .synthetic.generate import Amounts, Generator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["FIRST", "SECOND", "Dataset", "Stage", "assemble", "held_out_rows"]

_SENTENCES_A_LANGUAGE = 45
_REQUESTS: Final = {"benign_clinc150", "benign_gpteacher_roleplay"}
# How texts begin that are no orders.
_ASKING: Final = frozenset(
    (
        "what", "what's", "whats", "how", "how's", "is", "are", "do", "does", "did", "i", "i'm",
        "i've", "i'd", "my", "when", "where", "why", "who", "which", "can", "could", "will",
        "would", "should", "has", "have", "am", "if", "there", "the", "a", "an", "was", "were",
        "it", "we", "our", "you", "your", "this",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What one stage of training sees.

    `most` bounds the windows of a family of file rows; a family that is not named is unbounded.
    `harvest` adds comments and library files to the documents that orders are planted in.
    """

    name: str
    amounts: Amounts
    most: Mapping[str, int]
    harvest: bool
    share_of_documents: float


FIRST: Final = Stage(
    name="first",
    amounts=Amounts(
        direct=5500,
        lookalikes=6000,
        personas=1500,
        orders_as_user=1500,
        planted_wrapped=4000,
        planted_bare=4500,
        clean=3500,
        language_attacks=2000,
        language_benign=2500,
        short_language_attacks=1500,
        moderation_each=550,
        moderation_in_prose_each=150,
    ),
    most={"jailbreak": 3000, "hate": 6500, "benign_languages": 4000, "roleplay": 2000},
    harvest=True,
    share_of_documents=0.6,
)
# Against what the first stage got wrong: it flagged clean prose and code, persona prompts, and
# missed short attacks in other languages.
SECOND: Final = Stage(
    name="second",
    amounts=Amounts(
        direct=2500,
        lookalikes=3000,
        personas=2000,
        orders_as_user=800,
        planted_wrapped=2500,
        planted_bare=1500,
        clean=4500,
        language_attacks=1200,
        language_benign=1200,
        short_language_attacks=2500,
        moderation_each=200,
        moderation_in_prose_each=60,
    ),
    most={
        "jailbreak": 700,
        "plain": 800,
        "roleplay": 2000,
        "long": 800,
        "hate": 1800,
        "insult": 1800,
        "benign_languages": 1200,
    },
    harvest=True,
    share_of_documents=0.7,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What trains, and what measures; no source is in both."""

    training: Sequence[Row]
    held_out: Sequence[Row]
    counts: Mapping[str, int]


def assemble(stage: Stage, *, data: Path | None, wheels: Mapping[str, Path], seed: int) -> Dataset:
    """Read, clean, drop near-duplicates (of held-out rows first), synthesise, cut to windows.

    Without `data` only the synthetic rows and the wheels' translations train.
    """
    rng = Random(seed)
    seen = NearDuplicates()
    held_out = held_out_rows(data)
    for row in held_out:
        seen.novel(row.text)
    training = [row for row in _files(data, rng, held_out=False) if seen.novel(row.text)]
    windows = [window for row in training for window in _windows(row, rng)]
    rows = _bounded(windows + _languages(wheels, rng), stage.most, rng)
    documents = [_middle(row.text) for row in training if row.family == "long"]
    if stage.harvest:
        documents += _comments(training, rng) + _library(wheels)
    generator = Generator(
        seed=seed,
        documents=[text for text in documents if len(text) > 200],
        requests=_requests(training, rng),
        harmful=[r.text for r in training if r.family == "request" and len(r.text) <= 200],
        share_of_documents=stage.share_of_documents,
    )
    rows += list(clean(generator.rows(stage.amounts)))
    rng.shuffle(rows)
    return Dataset(training=rows, held_out=held_out, counts=_counts(training))


def _bounded(rows: list[Row], most: Mapping[str, int], rng: Random) -> list[Row]:
    rows = rng.sample(rows, len(rows))
    taken: dict[str, int] = {}
    kept = []
    for row in rows:
        taken[row.family] = taken.get(row.family, 0) + 1
        if taken[row.family] <= most.get(row.family, len(rows)):
            kept.append(row)
    return kept


def _requests(rows: Sequence[Row], rng: Random) -> list[str]:
    """What users ask for, in a line; one in four at most as a question."""
    texts = [
        row.text.strip()
        for row in rows
        if row.source in _REQUESTS and len(row.text) <= 160 and "\n" not in row.text
    ]
    orders = [text for text in texts if text.split()[0].lower() not in _ASKING]
    questions = [text for text in texts if text.split()[0].lower() in _ASKING]
    return orders + rng.sample(questions, min(len(questions), len(orders) // 3))


def _comments(rows: Sequence[Row], rng: Random) -> list[str]:
    """Civil comments, a few to a document."""
    polite = [row for row in rows if row.labels.get("harassment") == 0.0]
    civil = [row.text for row in polite if row.family == "insult"]
    civil = rng.sample(civil, len(civil))
    return ["\n\n".join(civil[at : at + 4]) for at in range(0, len(civil), 4)]


def _library(wheels: Mapping[str, Path]) -> list[str]:
    return [text for name in ("django", "wagtail") for text in library_files(wheels[name])]


def held_out_rows(data: Path | None) -> list[Row]:
    """Every row of the sources that measure and never train."""
    return list(_files(data, Random(0), held_out=True))


def _files(data: Path | None, rng: Random, *, held_out: bool) -> Iterator[Row]:
    if data is None:
        return
    for source in FILES:
        if source.held_out == held_out:
            rows = list(clean(read(data, source)))
            if len(rows) > source.most:
                rows = rng.sample(rows, source.most)
            yield from rows


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.source] = counts.get(row.source, 0) + 1
    return counts


def _middle(text: str) -> str:
    """A document without the question or order that its task puts before or after it."""
    return text[len(text) // 5 : -len(text) // 5]


def _windows(row: Row, rng: Random) -> Iterator[Row]:
    """At most three windows of a long text: the first, and others at random."""
    cuts = Checkpoints().cuts(row.text)
    chosen = cuts if len(cuts) <= 2 else [cuts[0], *rng.sample(cuts[1:], 2)]
    if row.family == "insult":
        chosen = chosen[:1]
    for cut in chosen:
        yield Row(
            text=row.text[cut.start : cut.end],
            source=row.source,
            family=row.family,
            labels=row.labels,
        )


def _languages(wheels: Mapping[str, Path], rng: Random) -> list[Row]:
    """Harmless sentences in many languages; each language about as often as any other."""
    by_language: dict[str, list[str]] = {}
    for name in ("django", "wagtail"):
        if name in wheels:
            for language, text in translations(wheels[name]):
                by_language.setdefault(language, []).append(text)
    labels = {"direct": 0.0, "planted": 0.0, **moderation()}
    return [
        Row(text=text, source="translations", family="benign_languages", labels=labels)
        for language, texts in sorted(by_language.items())
        for text in rng.sample(texts, min(len(texts), _SENTENCES_A_LANGUAGE))
    ]
