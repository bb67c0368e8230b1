from __future__ import annotations

from random import Random

import pytest

from guardrails.training.synthetic.grammar import Grammar, GrammarError, packaged


def one(text: str, seed: int = 0) -> str:
    grammar = Grammar()
    grammar.read(f"@x\n{text}\n@y\nink|pen")
    return grammar.expand("x", Random(seed))


@pytest.mark.parametrize(
    ("production", "expected"),
    [
        pytest.param("plain", {"plain"}, id="literal"),
        pytest.param("a|b", {"a", "b"}, id="choice at the top"),
        pytest.param("[a|b]c", {"ac", "bc"}, id="choice in brackets"),
        pytest.param("[a|[b|c]d]", {"a", "bd", "cd"}, id="choice in a choice"),
        pytest.param("a[|b]", {"a", "ab"}, id="empty choice"),
        pytest.param("{y}!", {"ink!", "pen!"}, id="another rule"),
        pytest.param("{y_s}", {"Ink.", "Pen."}, id="another rule as a sentence"),
        pytest.param(r"\[a\|b\]\n", {"[a|b]\n"}, id="escapes"),
    ],
)
def test_production_expands_to(production, expected):
    """Every text that a production stands for comes up, and no other."""
    assert {one(production, seed) for seed in range(60)} == expected


@pytest.mark.parametrize("production", ["[a|b", "a]b", "[[a]"])
def test_brackets_that_do_not_pair_are_refused(production):
    """A slip in a phrase file is found when it is read."""
    with pytest.raises(GrammarError):
        one(production)


def test_every_packaged_rule_expands():
    """No phrase file names a rule that does not exist."""
    grammar, rng = packaged(), Random(1)
    for name in grammar.rules:
        for _ in range(25):
            assert isinstance(grammar.expand(name, rng), str)
