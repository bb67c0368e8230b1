"""Names of persons, organisations and places, in English text. For policies that ask for it.

Covered: what spaCy's small English model marks as a person, an organisation or a place, without
what it often mistakes for one (addresses on the web, shouted abbreviations, the defined terms of
contracts), and beside it what lists and forms know (see `lists`).
Not covered: other languages and scripts, except for given names and places on the lists; names in
lower case, mostly; half of the names in tweets and a third in ordinary sentences. A name that is
also a word is marked or not as the sentence suggests.

It needs libraries that the service does not: `pip install 'vedette[guardrails-names]'`. The model
takes milliseconds a sentence, so it judges at checkpoints, off the event loop, as classifiers do.
"""

from __future__ import annotations

from .detector import NamesDetector

__all__ = ["NamesDetector", "detector"]


def detector() -> NamesDetector:
    """The detector of names; nothing is loaded before a policy asks for it."""
    return NamesDetector()
