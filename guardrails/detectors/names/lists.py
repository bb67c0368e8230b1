"""Names as far as lists and forms know them: right more often than not, and far from all.

Persons by a given name of some twenty countries (the lists of the library Faker), alone or with
capitalised words after it; organisations by the word that says what they are, such as Inc., GmbH
or University; countries, their capitals and the states of the USA.
"""

from __future__ import annotations

import functools
import importlib
import re
from typing import TYPE_CHECKING, Final

from guardrails.detectors.rules import RuleDetector
from guardrails.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FULL_NAME", "GIVEN_NAME", "PLACE", "by_lists"]

FULL_NAME: Final = "names.person"
GIVEN_NAME: Final = "names.given"
PLACE: Final = "names.place"

_LOCALES: Final = (
    "en_US", "en_GB", "en_IN", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pt_BR", "pl_PL",
    "tr_TR", "sv_SE", "da_DK", "no_NO", "fi_FI", "ro_RO", "hr_HR", "cs_CZ", "hu_HU",
)  # fmt: skip

# Given names that are words, months or places more often.
_WORDS: Final = """
    April August Autumn Art Bill Brook Brooklyn Carolina Chance Charity Chase Chelsea Christian
    Dallas Dawn Destiny Earl Faith Florence Georgia Grace Grant Harmony Heaven Hope Hunter Ivory
    Joy June Justice London Madison Mark May Mercy Miracle Misty Paris Page Precious Price Prince
    Rich Rose Savannah Sierra Summer Sydney Trinity Virginia Will Winter America Asia China India
    Israel Jordan Kenya Chad Austin Houston Lincoln Van Von De Del La Al An Do In Le Lo Max Bo
    Sunny Star Royal Major General Dean Guy Rusty Buddy Case Colt Cash Ace Phoenix
"""

_CAPITAL: Final = "[A-ZÀ-ÖØ-ÞĀ-Ž]"
_PART: Final = rf"{_CAPITAL}[a-zß-öø-ÿā-ž]{{1,15}}(?:[-'’]{_CAPITAL}[a-zß-öø-ÿā-ž]{{1,15}})?"
_LINK: Final = r"(?: (?:van|von|de|da|del|di|der|den|la|le|bin|al|el|ter))"
_ENTITY: Final = (
    "Inc|Incorporated|Ltd|Limited|LLC|LLP|PLC|Plc|Corp|Corporation|Company|GmbH|AG|SE|KG|SARL|SAS"
    "|SpA|BV|NV|AB|Oy|University|College|Institute|Foundation|Association|Bank|Group|Holdings"
    "|Hospital|Ministry|Agency|Committee|Partners|Airlines|Motors|Pharmaceuticals|Technologies"
)


@functools.cache
def _given_names() -> frozenset[str]:
    names = frozenset[str]()
    for locale in _LOCALES:
        provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
        names |= frozenset(name for name in provider.first_names if name.isalpha())
    return names - frozenset(_WORDS.split())


def _places() -> frozenset[str]:
    countries = importlib.import_module("faker.providers.date_time").Provider.countries
    states = importlib.import_module("faker.providers.address.en_US").Provider.states
    named = {country.name for country in countries} | {country.capital for country in countries}
    shortest = 4
    return frozenset(
        name for name in named | set(states) if name and name.isascii() and len(name) >= shortest
    )


def _either(words: Iterable[str]) -> str:
    """Longest first, so that `Guinea-Bissau` is not `Guinea`."""
    return "|".join(re.escape(word) for word in sorted(words, key=lambda word: (-len(word), word)))


def _person(text: str) -> tuple[int, int] | None:
    """From the first given name that a capitalised word follows."""
    words = list(re.finditer(r"[^ .]+", text))
    for word in words[:-1]:
        if re.split("[-'’]", word[0])[0] in _given_names():
            return word.start(), len(text)
    return None


def _is_given(text: str) -> bool:
    return text in _given_names()


def by_lists() -> RuleDetector:
    """The rules, compiled."""
    return RuleDetector(
        "names",
        [
            Rule(
                id=FULL_NAME,
                category="PERSON",
                pattern=(
                    rf"(?<![\w.]){_PART}(?:(?: {_CAPITAL}\.?)?{_LINK}{{0,2}} {_PART}){{1,3}}(?!\w)"
                ),
                hint=rf"(?<!\w){_PART}(?: {_CAPITAL}\.?)?{_LINK}{{0,2}} {_CAPITAL}",
                narrow=_person,
                score=0.7,
            ),
            Rule(
                id=GIVEN_NAME,
                category="PERSON",
                pattern=rf"(?<![\w.@#-]){_PART}(?![\w-])",
                accept=_is_given,
                score=0.55,
            ),
            Rule(
                id="names.organization",
                category="ORGANIZATION",
                pattern=(
                    rf"(?<!\w)(?:(?!The ){_CAPITAL}[\w'’-]{{0,20}}(?: &| and| of)? ){{1,4}}(?:{_ENTITY})"
                    r"(?!\w)"
                ),
                score=0.65,
            ),
            Rule(
                id="names.university_of",
                category="ORGANIZATION",
                pattern=(
                    r"(?<!\w)(?:University|Bank|Ministry|Department|Institute|College) of"
                    rf"(?: {_CAPITAL}[\w'’-]{{1,20}}){{1,3}}(?!\w)"
                ),
                score=0.7,
            ),
            Rule(
                id=PLACE,
                category="LOCATION",
                pattern=rf"(?<![\w@/.-])(?:{_either(_places())})(?![\w/-])",
                score=0.6,
            ),
        ],
        timed=False,
    )
