"""Texts for the benchmarks of the guard: ordinary prose, and text dense with hits."""

from __future__ import annotations

import random

__all__ = ["dense", "prose", "tokens"]

_SENTENCES = (
    "The ferry left the harbour a little after nine, and by noon the coast was out of sight.",
    "She had promised to write as soon as the new house was ready, but the letters came slowly.",
    "Most of the work is done by volunteers who meet in the library on the first Monday.",
    "To change the filter, turn the cover to the left until it clicks, then lift it out.",
    "In 1987 the town counted 4,200 people; today there are fewer than half as many.",
    'Nobody knew why the bells rang that night: "It was the wind," the sexton said.',
    "A good rule is to leave the dough alone for an hour, or two if the kitchen is cold.",
    "The function returns a list of pairs, each with a name and the number of times it occurs.",
    "What matters is not how fast you read but how much of it you still know in a week.",
    "Rain is likely in the west, with gusts of up to 60 km/h on the hills, and sun elsewhere.",
    "For further reading see chapter 12, which treats the same question with more patience.",
    "He paid 3.50 for the coffee, left the change on the table and walked back to the station.",
)
_HITS = (
    "jo.doe@example.com",
    "+49 30 901820",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "192.168.10.17",
    "00:1A:2B:3C:4D:5E",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "(415) 555-2671",
    "password: tr0ub4dor&3",
    "529.982.247-25",
)


def prose(chars: int, seed: int = 1) -> str:
    """Sentences in random order, in paragraphs; nothing in them is to be found."""
    dice = random.Random(seed)
    parts: list[str] = []
    length = 0
    while length < chars:
        sentence = dice.choice(_SENTENCES) + ("\n\n" if dice.random() < 0.2 else " ")
        parts.append(sentence)
        length += len(sentence)
    return "".join(parts)[:chars]


def dense(chars: int, seed: int = 1) -> str:
    """A hit every few words."""
    dice = random.Random(seed)
    parts: list[str] = []
    length = 0
    while length < chars:
        words = " ".join(dice.choice(_SENTENCES).split()[:6])
        parts.append(f"{words} {dice.choice(_HITS)}, ")
        length += len(parts[-1])
    return "".join(parts)[:chars]


def tokens(text: str, seed: int = 1) -> list[str]:
    """The text in pieces as long as tokens of a language model are: four characters or so."""
    dice = random.Random(seed)
    pieces = []
    at = 0
    while at < len(text):
        size = dice.choice((1, 2, 3, 4, 4, 5, 5, 6, 8))
        pieces.append(text[at : at + size])
        at += size
    return pieces
