"""Ways to reach a person: e-mail and telephone."""

from __future__ import annotations

import re
from typing import Final

import phonenumbers

from guardrails.rules import Context, Rule

__all__ = ["RULES"]

_LABEL: Final = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"

# Where national telephone numbers are tried, in this order.
_REGIONS: Final = (
    "GB",
    "DE",
    "FR",
    "IT",
    "ES",
    "NL",
    "BE",
    "AT",
    "CH",
    "AU",
    "IN",
    "TR",
    "PL",
    "PH",
)

_CALLING_CODES: Final = frozenset(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
_EXTENSION: Final = re.compile("[xe]")

_PHONE_WORDS: Final = (
    "phone", "tel", "call", "cell", "mobile", "fax", "whatsapp", "text me", "sms", "handy",
    "telefon", "mobil", "rufnummer", "téléphone", "portable", "móvil", "teléfono", "cellulare",
    "reach me", "contact number", "hotline",
)  # fmt: skip


def _is_international(text: str) -> bool:
    digits = _without_extension(text).removeprefix("00")
    codes = (digits[:size] for size in (1, 2, 3))
    code = next((each for each in codes if int(each) in _CALLING_CODES), "")
    if not code:
        return False
    # Nearly all are written without a national prefix; parsing for one takes twice as long.
    return _is_number(code, digits[len(code) :]) or _is_valid(text)


def _is_american(text: str) -> bool:
    """Of the numbering plan of North America, which many countries share."""
    return _is_number("1", _without_extension(text)[-10:])


def _without_extension(text: str) -> str:
    return "".join(filter(str.isdigit, _EXTENSION.split(text, maxsplit=1)[0]))


def _is_number(code: str, national: str) -> bool:
    number = phonenumbers.PhoneNumber(country_code=int(code), national_number=int(national))
    return not national.startswith("0") and phonenumbers.is_valid_number(number)


def _is_valid(text: str) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(text))
    except phonenumbers.NumberParseException:
        return False


def _is_national(text: str) -> bool:
    return any(_is_valid_in(text, region) for region in _REGIONS)


def _is_valid_in(text: str, region: str) -> bool:
    try:
        return phonenumbers.is_valid_number_for_region(phonenumbers.parse(text, region), region)
    except phonenumbers.NumberParseException:
        return False


def _is_turkish(text: str) -> bool:
    return _is_valid_in(text, "TR")


def _could_be_phone(text: str) -> bool:
    return 7 <= sum(char.isdigit() for char in text) <= 13


RULES: Final = (
    Rule(
        id="pii.email",
        category="EMAIL",
        pattern=(
            r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_](?:[A-Za-z0-9._%+'-]{0,62}[A-Za-z0-9_+-])?"
            rf"@(?:{_LABEL}\.){{1,4}}[A-Za-z]{{2,24}}(?![A-Za-z0-9])"
        ),
        score=0.95,
    ),
    Rule(
        id="pii.phone.international",
        category="PHONE",
        pattern=(
            r"(?<![\w+])(?:\+|00)[1-9](?:[ .()/-]{0,2}[0-9]){6,14}"
            r"(?:(?: ?x| ?ext\.? ?)[0-9]{1,5})?(?![0-9])"
        ),
        accept=_is_international,
        score=0.9,
    ),
    Rule(
        id="pii.phone.us",
        category="PHONE",
        pattern=(
            r"(?<![\w.+-])(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-]"
            r"[0-9]{4}(?:(?: ?x| ?ext\.? ?)[0-9]{1,5})?(?![\w-])(?!\.[0-9])"
        ),
        accept=_is_american,
        score=0.75,
    ),
    Rule(
        id="pii.phone.national",
        category="PHONE",
        pattern=(
            r"(?<![0-9] )(?<![\w.,+/-])\(?0[0-9]{1,4}\)?(?:[ /.-]{1,2}[0-9]{2,8}){1,4}(?![\w-])(?!\.[0-9])"
        ),
        accept=_is_national,
        score=0.6,
        context=Context(words=_PHONE_WORDS, score=0.9),
    ),
    Rule(
        id="pii.phone.national_bare",
        category="PHONE",
        pattern=r"(?<![\w/+-])(?<![0-9][.,])0[1-9][0-9]{8,9}(?![\w-])(?!\.[0-9])",
        accept=_is_national,
        score=0.3,
        context=Context(words=_PHONE_WORDS, score=0.9),
        alone=0.55,
    ),
    Rule(
        id="pii.phone.turkish",
        category="PHONE",
        pattern=(
            r"(?<![\w.,+/-])(?<![0-9] )(?:0[ -]?)?\(?[2-5][0-9]{2}\)?[ -][0-9]{3}[ -][0-9]{2}"
            r"[ -][0-9]{2}(?![\w-])(?!\.[0-9])"
        ),
        accept=_is_turkish,
        score=0.6,
    ),
    Rule(
        id="pii.phone.turkish_bare",
        category="PHONE",
        pattern=r"(?<![\w/+-])(?<![0-9][.,])(?<![0-9] )[2-5][0-9]{9}(?![\w-])(?!\.[0-9])",
        accept=_is_turkish,
        score=0.2,
        context=Context(words=_PHONE_WORDS, score=0.8),
        alone=0.55,
    ),
    Rule(
        id="pii.phone.named",
        category="PHONE",
        pattern=r"(?<![\w.,+/-])\(?[0-9](?:[ ./()-]{0,2}[0-9]){6,12}(?![\w-])(?!\.[0-9])",
        hint=r"(?<![\w.,+/-])\(?[0-9]" + 6 * "[ ./()-]{0,2}[0-9]",
        accept=_could_be_phone,
        score=0,
        context=Context(words=_PHONE_WORDS, score=0.65, chars=24),
    ),
)
