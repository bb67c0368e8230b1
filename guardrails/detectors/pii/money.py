"""Payment cards, bank accounts and crypto wallets."""

from __future__ import annotations

import functools
import re
from typing import Final

from stdnum import bitcoin, luhn, numdb
from stdnum.iso7064 import mod_97_10
from stdnum.us import rtn

from guardrails.rules import Context, Rule

__all__ = ["RULES"]

# Length of an IBAN by country, grouped: the registry's figures.
_IBAN_LENGTHS: Final = {
    15: "NO", 16: "BE", 18: "DK|FI|FK|FO|GL|NL|SD", 19: "MK|SI", 20: "AT|BA|EE|KZ|LT|LU|MN|XK",
    21: "CH|HR|LI|LV", 22: "BG|BH|CR|DE|GB|GE|IE|ME|RS|VA", 23: "AE|GI|IL|IQ|OM|SO|TL",
    24: "AD|CZ|ES|MD|PK|RO|SA|SE|SK|TN|VG", 25: "LY|PT|ST", 26: "IS|TR",
    27: "BI|DJ|FR|GR|IT|MC|MR|SM", 28: "AL|AZ|BY|CY|DO|GT|HU|LB|NI|PL|SV",
    29: "BR|EG|PS|QA|UA", 30: "JO|KW|MU|YE", 31: "MT|SC", 32: "LC", 33: "RU",
}  # fmt: skip


def _either_case(codes: str) -> str:
    """`DE` as `[Dd][Ee]`: searched three times as fast as with the case ignored."""
    return re.sub("[A-Z]", lambda letter: f"[{letter[0]}{letter[0].lower()}]", codes)


_IBAN: Final = "|".join(
    f"(?:{_either_case(countries)})[0-9]{{2}}(?:[ -]?[0-9A-Za-z]){{{length - 4}}}"
    for length, countries in _IBAN_LENGTHS.items()
)
_TAPROOT_CHARS: Final = 62
_CARD_WORDS: Final = (
    "card",
    "visa",
    "mastercard",
    "cc",
    "amex",
    "maestro",
    "kreditkarte",
    "carte",
    "tarjeta",
)


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isdigit())


def _is_card(text: str) -> bool:
    digits = _digits(text)
    return len(set(digits)) > 1 and bool(luhn.is_valid(digits))


def _is_iban(text: str) -> bool:
    number = "".join(filter(str.isalnum, text)).upper()
    country, rest = number[:2], number[4:]
    return bool(_account_form(country).fullmatch(rest)) and mod_97_10.is_valid(rest + number[:4])


@functools.cache
def _account_form(country: str) -> re.Pattern[str]:
    """What follows the check digits, by the registry: `8!n10!n` is eight digits and ten."""
    [(_, facts), *_] = numdb.get("iban").info(country)
    parts = re.findall(r"([0-9]+)!([nac])", facts["bban"])
    kinds = {"n": "[0-9]", "a": "[A-Z]", "c": "[0-9A-Z]"}
    return re.compile("".join(f"{kinds[kind]}{{{count}}}" for count, kind in parts))


def _is_bitcoin(text: str) -> bool:
    # Taproot addresses have another checksum than python-stdnum knows; their form is rare enough.
    is_taproot = text.startswith("bc1p") and len(text) == _TAPROOT_CHARS
    return is_taproot or bool(bitcoin.is_valid(text))


def _is_routing(text: str) -> bool:
    return bool(rtn.is_valid(text.replace("-", "")))


RULES: Final = (
    Rule(
        id="pii.card",
        category="CREDIT_CARD",
        pattern=(
            r"(?<![0-9A-Za-z_/-])(?<![0-9][.,])(?:[2-6][0-9]{12,18}|[2-6][0-9]{3}(?:[ -][0-9]{4}){3}"
            r"|3[0-9]{3}[ -][0-9]{6}[ -][0-9]{4,5})(?![0-9A-Za-z_])(?![-.][0-9])"
        ),
        accept=_is_card,
        score=0.95,
    ),
    Rule(
        id="pii.card.old_ranges",
        category="CREDIT_CARD",
        pattern=r"(?<![0-9A-Za-z_/-])(?<![0-9][.,])[0156][0-9]{11,15}(?![0-9A-Za-z_])(?![-.][0-9])",
        accept=_is_card,
        score=0.2,
        context=Context(words=_CARD_WORDS, score=0.8),
        alone=0.55,
    ),
    Rule(
        id="pii.iban",
        category="IBAN",
        pattern=rf"(?<![0-9A-Za-z])(?:{_IBAN})(?![0-9A-Za-z])",
        hint="(?<![0-9A-Za-z])[A-Za-z]{2}[0-9]{2}(?:[ -]?[0-9A-Za-z]){11}",
        accept=_is_iban,
        score=0.95,
    ),
    Rule(
        id="pii.us_routing",
        category="BANK_ACCOUNT",
        pattern=r"(?<![\w.-])[0-9]{4}-?[0-9]{4}-?[0-9](?![\w-])(?!\.[0-9])",
        accept=_is_routing,
        score=0.2,
        context=Context(words=("routing", "aba", "rtn", "bank"), score=0.85),
        alone=0.55,
    ),
    Rule(
        id="pii.account_number",
        category="BANK_ACCOUNT",
        pattern=r"(?<![\w.-])[0-9]{6,17}(?![\w-])(?!\.[0-9])",
        score=0,
        context=Context(
            words=(
                "account number", "account no", "acct", "bank account", "kontonummer",
                "numéro de compte", "número de cuenta", "sort code",
            ),
            score=0.75,
            chars=30,
        ),
    ),
    Rule(
        id="pii.bitcoin",
        category="CRYPTO_WALLET",
        pattern=(
            r"(?<![0-9A-Za-z])(?:[13][1-9A-HJ-NP-Za-km-z]{25,34}|bc1[02-9ac-hj-np-z]{11,71})"
            r"(?![0-9A-Za-z])"
        ),
        accept=_is_bitcoin,
        score=0.95,
    ),
    Rule(
        id="pii.ethereum",
        category="CRYPTO_WALLET",
        pattern=r"(?<![0-9A-Za-z])0x[0-9A-Fa-f]{40}(?![0-9A-Za-z])",
        score=0.75,
    ),
)  # fmt: skip
