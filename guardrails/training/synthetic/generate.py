"""The synthetic rows: attacks with their clean twins, look-alikes, languages, contrast pairs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from guardrails.training.rows import Row, asks, moderation

from .carriers import BUILDERS, splice
from .grammar import as_sentence, packaged

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


__all__ = ["Amounts", "Generator"]

_LANGUAGES: Final = (
    "de", "fr", "es", "pt", "it", "nl", "pl", "sv", "tr", "ru", "uk", "zh", "ja", "ko",
    "ar", "he", "fa", "hi", "vi", "id", "el", "th", "cs", "ro", "sw",
    "zt", "bn", "ur", "da", "no", "fi", "hu", "bg",
)  # fmt: skip
# What each topic's texts are surely not; of other topics nothing is known.
_NOT: Final = {
    "hate": ("self_harm", "sexual", "illicit"),
    "harassment": ("illicit",),
    "violence": ("self_harm", "sexual"),
    "selfharm": ("hate", "sexual", "illicit"),
    "sexual": ("hate", "violence", "self_harm", "illicit"),
    "illicit": ("hate", "harassment", "self_harm", "sexual"),
}
_MOD_HEADS: Final = {
    "hate": "hate", "harassment": "harassment", "violence": "violence",
    "selfharm": "self_harm", "sexual": "sexual", "illicit": "illicit",
}  # fmt: skip


# What an optional word leaves behind where it is not said.
_BLANKS: Final = re.compile(" {2,}")
_LINE: Final = re.compile(r"\n|(?<=[.!?]) ")
_CODE: Final = re.compile(r"[{};]\n|\n    |</\w+>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How many rows of each kind."""

    direct: int = 3000
    lookalikes: int = 6000
    personas: int = 0
    orders_as_user: int = 1200
    planted_wrapped: int = 3200
    planted_bare: int = 5000
    clean: int = 4500
    language_attacks: int = 1500
    language_benign: int = 2500
    short_language_attacks: int = 900
    moderation_each: int = 450
    moderation_in_prose_each: int = 0


class Generator:
    """Makes rows from phrase grammars, and from clean documents of other sources."""

    def __init__(
        self,
        *,
        seed: int,
        documents: Mapping[str, Sequence[str]],
        requests: Sequence[str] = (),
        harmful: Sequence[str] = (),
        share_of_documents: float = 0.75,
    ) -> None:
        """Prepare; the same seed and texts give the same rows.

        Args:
            seed: of everything random.
            documents: clean ones, to plant something in.
            requests: what users ask for: harmless from them, an order inside a document.
            harmful: requests that an attack may lead up to.
            share_of_documents: how often a document is one of these rather than a made-up one.
        """
        self._rng = Random(seed)
        self._share_of_documents = share_of_documents
        self._grammar = packaged()
        self._documents = [texts for _, texts in sorted(documents.items()) if texts]
        self._harmful = harmful
        self._grammar.share("order", requests)
        self._grammar.share("harm_ask", harmful)

    def rows(self, amounts: Amounts) -> Iterator[Row]:
        """All kinds, one after another."""
        yield from self.direct(amounts.direct)
        yield from self.lookalikes(amounts.lookalikes, "benign_user")
        yield from self.lookalikes(amounts.personas, "persona_benign")
        yield from self.orders_as_user(amounts.orders_as_user)
        yield from self.planted(amounts.planted_wrapped, wrapped=True)
        yield from self.planted(amounts.planted_bare, wrapped=False)
        yield from self.clean(amounts.clean)
        yield from self.languages(amounts.language_attacks, amounts.language_benign)
        yield from self.short_languages(amounts.short_language_attacks)
        yield from self.moderation(amounts.moderation_each, prose=False)
        yield from self.moderation(amounts.moderation_in_prose_each, prose=True)

    def direct(self, count: int) -> Iterator[Row]:
        """Attacks that a user types, alone or after a harmless question."""
        for _ in range(count):
            text = self._say("direct_attack")
            if self._rng.random() < 0.25:
                text = f"{self._say('plain')} {text}"
            elif self._rng.random() < 0.1:
                text = f"{text} {self._say('plain')}"
            yield Row(
                text=self._cased(text),
                source="synthetic",
                family="direct",
                labels={"direct": 1.0, "planted": 1.0},
            )

    def lookalikes(self, count: int, rule: str) -> Iterator[Row]:
        """What users type that only looks like an attack."""
        for _ in range(count):
            text = self._say(rule)
            yield Row(
                text=self._cased(text),
                source="synthetic",
                family="lookalike",
                labels={"direct": 0.0, **moderation()},
            )

    def orders_as_user(self, count: int) -> Iterator[Row]:
        """A bare order: a request from a user, an attack where data should be.

        A question that stands alone is none.
        """
        for _ in range(count):
            order = self._order()
            yield Row(
                text=self._cased(order),
                source="synthetic",
                family="order",
                labels={"direct": 0.0, "planted": 0.0 if asks(order) else 1.0},
            )

    def planted(self, count: int, *, wrapped: bool) -> Iterator[Row]:
        """An order in a document, and the same document with something harmless there."""
        for _ in range(count):
            payload = self._wrapped() if wrapped else self._order()
            harmless = "" if self._rng.random() < 0.4 else self._harmless()
            seed = self._rng.random()
            family = "planted_wrapped" if wrapped else "planted_bare"
            attack = self._window(self._document(seed, payload), payload)
            yield Row(
                text=attack,
                source="synthetic",
                family=family,
                labels={"planted": 1.0},
                payload=payload if payload in attack else "",
            )
            if self._rng.random() < 0.75:
                yield _clean(self._window(self._document(seed, harmless), harmless))

    def clean(self, count: int) -> Iterator[Row]:
        """Documents with nothing planted, or with harmless sentences full of trigger words."""
        for _ in range(count):
            dice = self._rng.random()
            if dice < 0.2 and self._documents:
                yield _clean(self._line(self._rng.choice(self._rng.choice(self._documents))))
                continue
            if dice < 0.4:
                said = [self._say("said_to_people") for _ in range(self._rng.randint(2, 7))]
                yield _clean(self._rng.choice((" ", "\n", "\n\n", "\n- ")).join(said)[:400])
                continue
            harmless = self._harmless() if self._rng.random() < 0.5 else ""
            yield _clean(self._window(self._document(self._rng.random(), harmless), harmless))

    def languages(self, attacks: int, benign: int) -> Iterator[Row]:
        """Other languages: attacks, and many more harmless texts."""
        for _ in range(attacks):
            text = self._slipped(self._say(f"{self._rng.choice(_LANGUAGES)}_attack"))
            labels = {"direct": 1.0, "planted": 1.0}
            yield Row(text=text, source="synthetic", family="multilingual", labels=labels)
        for _ in range(benign):
            language = self._rng.choice(_LANGUAGES)
            sentences = [self._say(f"{language}_benign") for _ in range(self._rng.randint(1, 3))]
            yield Row(
                text=self._slipped(" ".join(sentences)),
                source="synthetic",
                family="benign_languages",
                labels={"direct": 0.0, "planted": 0.0, **moderation()},
            )

    def short_languages(self, attacks: int) -> Iterator[Row]:
        """A few words in other languages: attacks, and as many harmless ones."""
        for _ in range(attacks):
            more = self._rng.choice(("", "_more"))
            for rule, label in (("short_attack", 1.0), ("short_benign", 0.0)):
                text = self._say(rule + more)
                if self._rng.random() < 0.3:
                    text = text.rstrip(".?。؟")
                yield Row(
                    text=text,
                    source="synthetic",
                    family="multilingual" if label else "benign_languages",
                    labels={"direct": label, "planted": label},
                )

    def moderation(self, each: int, *, prose: bool) -> Iterator[Row]:
        """Contrast pairs: what a topic covers and what only sounds like it, alone or in prose."""
        for name, head in _MOD_HEADS.items():
            for _ in range(each):
                context = self._prose() if prose else []
                yield Row(
                    text=self._topic(f"{name}_yes", context),
                    source="synthetic",
                    family="moderation",
                    labels={"direct": 0.0, head: 1.0} | dict.fromkeys(_NOT[name], 0.0),
                )
                yield Row(
                    text=self._topic(f"{name}_no", context),
                    source="synthetic",
                    family="moderation",
                    labels={"direct": 0.0, **moderation()},
                )

    def _topic(self, rule: str, context: Sequence[str]) -> str:
        if not context:
            return self._cased(self._say(rule))
        said = " ".join(as_sentence(self._say(rule)) for _ in range(self._rng.randint(1, 4)))
        return splice(context, said, self._rng)

    def _prose(self) -> list[str]:
        """A few sentences to say something between."""
        return [self._say("fact") for _ in range(self._rng.randint(2, 5))]

    def _say(self, rule: str) -> str:
        return _BLANKS.sub(" ", self._grammar.expand(rule, self._rng)).strip()

    def _wrapped(self) -> str:
        """An order behind a phrase that takes the floor; one in eight in another language.

        One in twelve is the phrase alone: who takes the floor means to use it.
        """
        if self._rng.random() < 0.08:
            return " ".join(self._say("override") for _ in range(self._rng.randint(1, 2)))
        if self._rng.random() < 0.125:
            rule = self._rng.choice(("short_attack", "short_attack_more"))
            return self._say(self._rng.choice((rule, f"{self._rng.choice(_LANGUAGES)}_attack")))
        return self._say("wrap")

    def _order(self) -> str:
        """One to three orders, more or less politely put."""
        rng = self._rng
        if self._harmful and rng.random() < 0.05:
            return rng.choice(self._harmful)
        text = self._say("order")
        if rng.random() < 0.15:
            text = (
                rng.choice(("Please ", "Could you ", "You should ", "I want you to ", "Kindly "))
                + text
            )
        if rng.random() < 0.8:
            text = as_sentence(text)
        if rng.random() < 0.15:
            text += " " + as_sentence(self._say("order"))
        return text

    def _harmless(self) -> str:
        rules = ("benign_splice", "said_to_people", "said_to_people")
        count = self._rng.choice((1, 1, 1, 2))
        return " ".join(self._say(self._rng.choice(rules)) for _ in range(count))

    def _document(self, seed: float, payload: str) -> str:
        rng = Random(seed)
        if self._documents and rng.random() < self._share_of_documents:
            return _into(rng.choice(rng.choice(self._documents)), payload, rng)
        return rng.choice(BUILDERS)(rng, self._grammar, payload)

    def _window(self, document: str, payload: str) -> str:
        """A stretch as the classifier would see it, with all of the payload in it."""
        size = self._rng.choice((160, 240, 320, 400, 400))
        at = document.find(payload) if payload else -1
        if at < 0:
            start = self._rng.randint(0, max(0, len(document) - size))
        else:
            low, high = max(0, at + len(payload) - size), min(at, max(0, len(document) - size))
            start = self._rng.randint(min(low, at), max(low, high)) if low <= at else at
        return document[start : start + max(size, len(payload))].strip() or document[:size]

    def _line(self, document: str) -> str:
        """A line or a sentence of a document, as a short tool result is."""
        lines = [line for line in _LINE.split(document) if 20 <= len(line.strip()) <= 200]
        return self._rng.choice(lines).strip() if lines else document[:160]

    def _cased(self, text: str) -> str:
        text = self._slipped(text)
        dice = self._rng.random()
        return text.upper() if dice < 0.03 else text[:1].lower() + text[1:] if dice < 0.15 else text

    def _slipped(self, text: str) -> str:
        """One text in twelve with a few typing errors: letters swapped, dropped or doubled."""
        if self._rng.random() > 0.08 or len(text) < 12:
            return text
        for _ in range(self._rng.randint(1, 3)):
            at = self._rng.randrange(1, len(text) - 2)
            one, two = text[at], text[at + 1]
            text = text[:at] + self._rng.choice((two + one, two, one + one + two)) + text[at + 2 :]
        return text


def _clean(text: str) -> Row:
    return Row(
        text=text, source="synthetic", family="clean", labels={"planted": 0.0, "direct": 0.0}
    )


def _into(document: str, payload: str, rng: Random) -> str:
    """The payload between two sentences or lines of a part of a document, all else as it was."""
    cut = rng.randint(0, max(0, len(document) - 600))
    piece = document[cut : cut + 900]
    if not payload:
        return piece
    if _CODE.search(piece) and rng.random() < 0.5:
        payload = rng.choice(("# ", "// ", "/* ", "<!-- ", "-- ")) + payload
    ends = [at for at in range(1, len(piece)) if piece[at - 1] in ".!?\n" and piece[at].isspace()]
    at = rng.choice((0, len(piece), rng.choice(ends or [0]), rng.choice(ends or [0])))
    gap = rng.choice((" ", " ", "\n", "\n\n"))
    before, after = piece[:at].rstrip(" "), piece[at:].lstrip(" ")
    return (before + gap if before else "") + payload + (gap + after if after else "")
