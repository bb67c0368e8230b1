"""Generates texts with personal data and near-misses, each value marked with its type.

Values are random and valid by their own rules; near-misses are order numbers, dates, versions,
prices, ISBNs, hashes and values whose checksum is wrong. The same seed gives the same texts.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from stdnum import iban, luhn
from stdnum.iso7064 import mod_97_10

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["corpus"]

_TEMPLATES = (
    "Hi, you can reach me at {0} or on {1} after six.",
    "The customer wrote from {0}; ticket {n} was opened on {n}.",
    "Please charge {0} and send the receipt to {1}.",
    "Order {n} was shipped with {n}; the invoice names {0}.",
    "Bitte überweisen Sie den Betrag auf {0}, Rückfragen an {1}.",
    "Mon numéro est {0}, et pour le reste voyez {n}.",
    "El titular indicó {0} y como contacto {1}; referencia {n}.",
    "Log line: user={0} ip={1} build={n} took {n}",
    "name,contact,ref\nsmith,{0},{n}\njones,{1},{n}\n",
    '{{"id": "{n}", "value": "{0}", "other": "{1}"}}',
    "Nothing personal here: {n}, {n} and {n}.",
    "Release {n} fixes {n}; see {n} for the list.",
)
_NAMES = ("anna", "j.smith", "maria_lopez", "peter-pan", "k.o.brien", "li.wei", "o'hara")
_HOSTS = (
    "example.com",
    "mail.example.org",
    "firma-beispiel.de",
    "ejemplo.es",
    "sub.dom.example.net",
)


def corpus(size: int, seed: int = 7) -> list[dict[str, Any]]:
    """Rows of `text` and `label`, a list of spans with `start`, `end` and `type`."""
    dice = random.Random(seed)
    return [_row(dice) for _ in range(size)]


def _row(dice: random.Random) -> dict[str, Any]:
    template = dice.choice(_TEMPLATES)
    text, spans, at = "", [], 0
    values = [dice.choice(list(_VALUES.items())) for _ in range(2)]
    while (opened := template.find("{", at)) >= 0:
        if template[opened : opened + 2] == "{{":
            text += template[at : opened + 1]
            at = opened + 2
            continue
        text += template[at:opened].replace("}}", "}")
        slot = template[opened + 1]
        if slot == "n":
            text += dice.choice(_NEAR_MISSES)(dice)
        else:
            kind, make = values[int(slot)]
            value = make(dice)
            spans.append({"start": len(text), "end": len(text) + len(value), "type": kind})
            text += value
        at = opened + 3
    return {"text": text + template[at:].replace("}}", "}"), "label": spans}


def _digits(dice: random.Random, count: int) -> str:
    return "".join(dice.choices("0123456789", k=count))


def _email(dice: random.Random) -> str:
    return f"{dice.choice(_NAMES)}{dice.choice(['', '7', '+news'])}@{dice.choice(_HOSTS)}"


def _phone(dice: random.Random) -> str:
    exchange = f"{dice.choice('23456789')}{_digits(dice, 2)}"
    american = (dice.choice(("212", "415", "617", "305")), exchange, _digits(dice, 4))
    return dice.choice(
        (
            "({}) {}-{}".format(*american),
            "{}-{}-{}".format(*american),
            "+1 {} {} {}".format(*american),
            f"+49 30 {dice.randint(2, 8)}{_digits(dice, 6)}",
            f"+44 20 7{_digits(dice, 3)} {_digits(dice, 4)}",
            f"+33 1 4{_digits(dice, 1)} {_digits(dice, 2)} {_digits(dice, 2)} {_digits(dice, 2)}",
        )
    )


def _card(dice: random.Random) -> str:
    start = dice.choice(("4", "51", "52", "6011", "37"))
    length = 15 if start == "37" else 16
    body = start + _digits(dice, length - 1 - len(start))
    digits = body + luhn.calc_check_digit(body)
    grouped = " ".join(digits[i : i + 4] for i in range(0, 16, 4))
    return digits if length == 15 or dice.random() < 0.4 else grouped


def _iban(dice: random.Random) -> str:
    country, body = dice.choice(
        (
            ("DE", _digits(dice, 18)),
            ("GB", "NWBK" + _digits(dice, 14)),
            ("NL", "ABNA" + _digits(dice, 10)),
            ("AT", _digits(dice, 16)),
        )
    )
    rest = mod_97_10.calc_check_digits(body + country)
    value = f"{country}{rest}{body}"
    return iban.format(value) if dice.random() < 0.5 else value


def _ssn(dice: random.Random) -> str:
    return f"{dice.randint(100, 665)}-{dice.randint(10, 99)}-{dice.randint(1000, 9999)}"


def _ip(dice: random.Random) -> str:
    if dice.random() < 0.2:
        return "2001:db8:" + ":".join(f"{dice.randint(1, 0xFFFF):x}" for _ in range(6))
    return ".".join(str(dice.randint(11, 126)) for _ in range(4))


def _mac(dice: random.Random) -> str:
    separator = dice.choice(":-")
    return separator.join(f"{dice.randint(0, 255):02X}" for _ in range(6))


_VALUES: dict[str, Callable[[random.Random], str]] = {
    "EMAIL_ADDRESS": _email,
    "PHONE_NUMBER": _phone,
    "CREDIT_CARD": _card,
    "IBAN_CODE": _iban,
    "US_SSN": _ssn,
    "IP_ADDRESS": _ip,
    "MAC_ADDRESS": _mac,
}

_NEAR_MISSES: tuple[Callable[[random.Random], str], ...] = (
    lambda dice: f"#{_digits(dice, 8)}",
    lambda dice: f"A-{_digits(dice, 10)}",
    lambda dice: f"2{_digits(dice, 3)}-0{dice.randint(1, 9)}-{dice.randint(10, 28)}",
    lambda dice: f"{dice.randint(0, 23):02}:{dice.randint(0, 59):02}:{dice.randint(0, 59):02}",
    lambda dice: f"v{dice.randint(1, 9)}.{dice.randint(0, 30)}.{dice.randint(0, 9)}",
    lambda dice: f"{dice.randint(1, 99)}.{dice.randint(10, 99)} EUR",
    lambda dice: f"978-3-16-{_digits(dice, 6)}-{dice.randint(0, 9)}",
    lambda dice: "".join(dice.choices("0123456789abcdef", k=40)),
    lambda dice: f"user@{dice.choice(('localhost', 'host', 'v2'))}",
    lambda dice: f"000-{dice.randint(10, 99)}-{dice.randint(1000, 9999)}",
    lambda dice: f"DE00 {_digits(dice, 4)} {_digits(dice, 4)} {_digits(dice, 4)}",
    lambda dice: f"http://example.com/a/b?page={dice.randint(1, 99)}",
)
