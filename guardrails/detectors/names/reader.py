"""Reads names in a stretch of text: spaCy's entities, corrected, and what the lists add."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guardrails.classifier import ModelError

from . import marks
from .lists import FULL_NAME, GIVEN_NAME, PLACE, by_lists

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from guardrails.findings import Match

__all__ = ["NameReader"]

_PERSON, _ORGANIZATION, _LOCATION = "PERSON", "ORGANIZATION", "LOCATION"
_CATEGORIES: Final = {
    "PERSON": _PERSON, "ORG": _ORGANIZATION, "GPE": _LOCATION, "LOC": _LOCATION, "FAC": "FACILITY",
}  # fmt: skip
# As sure as Presidio is of spaCy's entities.
_ENTITY_SCORE: Final = 0.85

_WEB: Final = re.compile(r"https?|://|www\.")
_SHOUTED: Final = frozenset(
    {
        "AM", "DM", "HAHA", "IDK", "IMO", "LMAO", "LMFAO", "LOL", "OK", "OMG", "PM", "RT", "SMH",
        "TBH", "WTF", "YES",
    }
)  # fmt: skip
_LEGIBLE: Final = re.compile(r"\w{2}")
_ONE_OF_MANY: Final = re.compile("(?:each|every|an?|any|such|said|these|its|all) ")
# What contracts define and capitalise.
_TERM: Final = re.compile(
    "(?:Account|Advance|Agreement|Amount|Annex|Appendix|Article|Balance|Certificate|Collateral"
    "|Commitment|Condition|Date|Day|Default|Document|Equipment|Event|Exhibit|Expense|Extension|Fee"
    "|Indebtedness|Interest|Law|Lien|Line|Loan|Month|Note|Notice|Obligation|Parties|Party|Payment"
    "|Period|Plan|Rate|Report|Schedule|Section|Securities|Security|Share|Statement|Stock"
    "|Subsidiaries|Subsidiary|Supplement|Term|Value|Warrant|Year)s?$"
)
_SITE: Final = re.compile(
    "(?:Airport|Avenue|Beach|Boulevard|Bridge|Castle|Center|Centre|Drive|Highway|Hill|Island|Lake"
    r"|Lane|Mountain|Palace|Park|Plaza|River|Road|Square|St|Station|Street|Tower|Valley)\.?$"
)


class _Name(NamedTuple):
    start: int
    end: int
    category: str
    score: float

    def overlaps(self, other: _Name) -> bool:
        return self.start < other.end and other.start < self.end


class NameReader:
    """Scores places in a stretch of text; see `marks`. Takes milliseconds."""

    def __init__(self, package: str) -> None:
        """Load spaCy's model from an installed package.

        Raises:
            ModelError: if it is missing or unusable.
        """
        unused = ["parser", "lemmatizer", "attribute_ruler", "tagger"]
        try:
            self._entities: Any = importlib.import_module(package).load(exclude=unused)
        except Exception as error:
            raise ModelError(f"{package}: the model cannot be loaded") from error
        self._lists = by_lists()

    def scores(self, text: str) -> Mapping[str, float]:
        """Every name in the text."""
        names = list(self._by_model(text))
        matches = self._lists.open().push(text, last=True, timeout_s=_LISTS_S)
        for match in sorted(matches, key=lambda match: (match.start, match.end)):
            if match.rule_id != GIVEN_NAME or _stands_alone(text, match):
                names = list(_joined(names, match))
        return {marks.written(name.category, name.start, name.end): name.score for name in names}

    def _by_model(self, text: str) -> Iterator[_Name]:
        for entity in self._entities(text).ents:
            category = _corrected(_CATEGORIES.get(entity.label_, ""), entity.text)
            if category:
                yield _Name(entity.start_char, entity.end_char, category, _ENTITY_SCORE)


# A stretch has a few hundred characters.
_LISTS_S: Final = 10.0


def _corrected(category: str, text: str) -> str:
    """What an entity is after all; nothing if it is no name."""
    if _WEB.search(text) or text in _SHOUTED or not _LEGIBLE.search(text):
        return ""
    if category == _ORGANIZATION and (_ONE_OF_MANY.match(text) or _TERM.search(text)):
        return ""
    if category == "FACILITY":
        return _LOCATION if _SITE.search(text) else ""
    return category


# Beside a given name: what makes it part of the name of a street, a firm or a ship. A single
# letter is a middle initial.
_CAPITALISED_AFTER: Final = re.compile(r" [A-ZÀ-ÖØ-Þ][\w'’]")
_CAPITALISED_BEFORE: Final = re.compile(
    r"(?:(?<![.!?\n] )(?<!\A)[A-ZÀ-ÖØ-Þ]\S{0,24}|[0-9]\S{0,9}) \Z"
)


def _stands_alone(text: str, match: Match) -> bool:
    """Whether no capitalised word or number stands on either side of a given name."""
    before = text[max(0, match.start - 28) : match.start]
    return not (_CAPITALISED_AFTER.match(text, match.end) or _CAPITALISED_BEFORE.search(before))


def _joined(names: Iterable[_Name], match: Match) -> Iterator[_Name]:
    """The names and what a list adds to them.

    A place inside the name of an organisation stays part of it, and a given name inside one of
    another kind; a whole name that a list knows is of the kind that the list says.
    """
    added = _Name(match.start, match.end, match.category, match.score)
    adds = True
    for name in names:
        if not name.overlaps(added):
            yield name
            continue
        same = name[:2] == added[:2]
        if name[:3] == added[:3]:
            adds = False
            yield name
        elif match.rule_id == PLACE:
            adds = adds and (same or name.category != _ORGANIZATION)
            yield name
        elif match.rule_id == GIVEN_NAME:
            adds = adds and (same or name.category == _PERSON)
            if not same:
                yield name
        elif match.rule_id != FULL_NAME or not _holds(added, name):
            yield name
    if adds:
        yield added


def _holds(whole: _Name, part: _Name) -> bool:
    """Whether a name of another kind lies inside this one."""
    inside = whole.start <= part.start and part.end <= whole.end
    return inside and whole.category != part.category
