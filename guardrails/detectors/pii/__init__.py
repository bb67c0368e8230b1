"""Personal data that patterns, checksums and the words beside a value can recognise.

Covered: e-mail; telephone numbers (international form; US form; national forms of a dozen
countries where they are grouped as usual or named as such); payment cards; IBAN of all registered
countries; US routing and account numbers beside their name; crypto wallets; national, tax and
health identifiers of more than forty countries by their checksums; passports and driving licences
beside their name; IP and MAC addresses; dates of birth and street addresses in common English,
German, French, Spanish and Italian forms; persons who introduce themselves or carry a title;
coordinates.
Not covered: names, organisations and places in general (see `guardrails.detectors.names`); addresses
without a street word; identifiers of other countries; identifiers without a checksum and without
a word that names them; anything written in words or split by other text.
"""

from __future__ import annotations

from guardrails.detectors.rules import RuleDetector

from . import contact, identity, money, network, person

__all__ = ["detector"]


def detector() -> RuleDetector:
    """The detector of personal data."""
    return RuleDetector(
        "pii",
        [*contact.RULES, *money.RULES, *identity.RULES, *network.RULES, *person.RULES],
        timed=False,
    )
