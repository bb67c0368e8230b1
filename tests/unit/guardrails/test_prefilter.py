"""The prefilter never overlooks a match: every rule is held to it, on texts made from the rules."""

from __future__ import annotations

import random
import re
from string import ascii_lowercase

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.detectors import RuleDetector, builtin
from guardrails.rules import Digits, LiveQuestion, Prefilter, Sought

RULES = [rule for each in builtin() if isinstance(each, RuleDetector) for rule in each.rules]
EDGES = ["", " ", "\n", "x", "9", ".", "-", "é", "中", "_", "("]


def wanted(rule, text, begin):
    """The matches of a rule's pattern, without those that lack the words they need."""
    beside = rule.sought.beside
    for found in regex.finditer(rule.pattern, text, pos=begin):
        start = found.start()
        if beside is None or regex.search(
            beside.words, text, pos=max(0, start - beside.chars), endpos=start
        ):
            yield found


def examples(pattern, seed):
    """A text that the pattern may match, drawn from its own syntax."""
    dice = random.Random(seed)
    return "".join(_draw(re._parser.parse(pattern), dice))


def named(rule, seed):
    """An example of the rule, after one of the words that it needs."""
    example = examples(rule.pattern, seed)
    words = rule.context.words if rule.context else [""]
    return f"{words[seed % len(words)]} {example}"


def _draw(tree, dice):
    ops = re._constants
    for operator, argument in tree:
        if operator is ops.LITERAL:
            yield chr(argument)
        elif operator is ops.ANY:
            yield "a"
        elif operator in (ops.IN, ops.NOT_LITERAL):
            items = argument if operator is ops.IN else [(operator, argument)]
            yield _one_of(items, dice)
        elif operator is ops.BRANCH:
            yield from _draw(dice.choice(argument[1]), dice)
        elif operator is ops.SUBPATTERN:
            yield from _draw(argument[3], dice)
        elif operator in (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT):
            least, most, body = argument
            for _ in range(dice.randint(least, min(most, least + 6))):
                yield from _draw(body, dice)


def _one_of(items, dice):
    pattern = regex.compile(_class(items))
    pool = "aZ09 _-+/.:@'é中ſ\n,(){}[]<>#*%=" + "abcdefABCDEFXYZ12345678"
    fitting = [char for char in pool if pattern.fullmatch(char)]
    ranges = [value for kind, value in items if kind is re._constants.RANGE]
    fitting += [chr(dice.randint(*each)) for each in ranges]
    return dice.choice(fitting) if fitting else "a"


def _class(items):
    ops, parts = re._constants, []
    names = {
        ops.CATEGORY_SPACE: r"\s",
        ops.CATEGORY_WORD: r"\w",
        ops.CATEGORY_DIGIT: r"\d",
        ops.CATEGORY_NOT_SPACE: r"\S",
    }
    for kind, value in items:
        if kind in (ops.NEGATE, ops.NOT_LITERAL):
            parts.insert(0, "^")
        if kind in (ops.LITERAL, ops.NOT_LITERAL):
            parts.append(regex.escape(chr(value)))
        elif kind is ops.RANGE:
            parts.append(f"{regex.escape(chr(value[0]))}-{regex.escape(chr(value[1]))}")
        elif kind is ops.CATEGORY:
            parts.append(names[value])
    return f"[{''.join(parts)}]"


@pytest.fixture(scope="module")
def prefilter():
    return Prefilter([rule.sought for rule in RULES])


@given(
    numbers=st.lists(st.integers(0, len(RULES) - 1), min_size=1, max_size=4),
    edges=st.lists(st.sampled_from(EDGES), min_size=5, max_size=5),
    seed=st.integers(0, 1 << 32),
    begin=st.integers(0, 40),
)
@settings(max_examples=60)
def test_every_match_begins_in_a_place_that_the_prefilter_names(
    prefilter, numbers, edges, seed, begin
):
    """Whatever a rule's pattern matches, its place covers the beginning, and its end the rest."""
    drawn = [named(RULES[number], seed + at) for at, number in enumerate(numbers)]
    padding = "an ordinary word, " * (60 if seed % 2 else 0)
    text = "".join(edge + padding + part for edge, part in zip(edges, [*drawn, ""], strict=False))
    begin = min(begin, len(text))
    places = prefilter.places(text, begin)
    for index, rule in enumerate(RULES):
        for found in wanted(rule, text, begin):
            needed = found.end() + rule.bounds.right
            assert any(
                low <= found.start() < high and (end >= needed or end >= len(text))
                for low, high, end in places.get(index, ())
            ), (rule.id, found)


def test_letters_that_are_the_same_but_for_case_are_looked_for():
    """Some characters outside ASCII equal an ASCII letter when case is ignored, and only those."""
    beyond = "".join(chr(code) for code in range(0x80, 0x110000) if not 0xD800 <= code < 0xE000)
    twins = {
        (letter, twin)
        for letter in ascii_lowercase
        for twin in regex.findall(f"(?i){letter}", beyond)
    }
    found = {
        (letter, twin)
        for letter, twin in twins
        if Prefilter([Sought(pattern=f"(?i)no{letter}e")]).places(f" NO{twin}E ", 0)
    }
    assert twins
    assert twins == found


def test_the_drawn_texts_do_match_their_rules():
    """The test above would prove nothing if its texts matched nothing."""
    matched = sum(
        any(regex.search(rule.pattern, f" {examples(rule.pattern, seed)} ") for seed in range(20))
        for rule in RULES
    )
    assert matched >= 0.9 * len(RULES)


@given(
    number=st.integers(0, len(RULES) - 1),
    seed=st.integers(0, 1 << 32),
    edge=st.sampled_from(EDGES),
    cut=st.integers(1, 400),
)
@settings(max_examples=300)
def test_a_text_that_ends_inside_a_match_is_live_from_its_beginning(number, seed, edge, cut):
    """The quick answer never calls final what the slow one still waits for."""
    pattern = RULES[number].pattern.replace("(?P<value>", "(?:")
    text = (edge + examples(pattern, seed))[:cut]
    asked = regex.compile(f"(?:{pattern})\U0010ffff(?!)").search(text, partial=True)
    expected = len(text) if asked is None else asked.start()
    assert expected == LiveQuestion([pattern]).start(text, 0)


@given(
    parts=st.lists(st.sampled_from(["x" * 90, "é" * 40, "12", "3", "45 67", " "]), max_size=60),
    count=st.integers(2, 5),
    within=st.integers(5, 30),
)
@settings(max_examples=200)
def test_the_neighbourhood_of_digits_keeps_every_number_whole(parts, count, within):
    """What has enough digits close together is there in one piece, and leads back to its place."""
    data = "".join(parts).encode()
    near = Digits(count=count, within=within, margin=4).neighbourhood(data)
    for start in range(len(data) - within + 1):
        stretch = data[start : start + within]
        if sum(48 <= byte < 58 for byte in stretch) >= count:
            end = start + within
            places = [at for at in range(len(near.data) + 1) if near.data[:at].endswith(stretch)]
            assert end in near.back(places)
