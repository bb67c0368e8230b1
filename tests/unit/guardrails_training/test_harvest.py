"""Rows from other places than the phrase grammars: mined windows, decided cases."""

from __future__ import annotations

import json
from random import Random

from guardrails.training.mining import hard_windows
from guardrails.training.reviews import reviewed
from guardrails.training.rows import HEADS
from guardrails.training.wheels import _kind

PAGES = {
    "manuals": [
        f"Section {at} explains the settings of the printer in detail. " * 40 for at in range(30)
    ],
    "mails": ["Dear all, the office is closed on Friday and opens again on Monday. " * 40] * 3,
}


def test_the_windows_that_score_highest_are_kept():
    """What a model takes for an attack is what it still has to learn about."""

    def sevens(texts):
        return [float(text.count("7")) for text in texts]

    kept = hard_windows(PAGES, sevens, each=100, rng=Random(1))
    manuals = ["7" in row.text for row in kept if row.source == "manuals"]
    assert len(manuals) < 40
    assert sorted(manuals[:20], reverse=True) == manuals[:20]
    assert {row.source for row in kept} == set(PAGES)
    assert {(head, 0.0) for head in HEADS} == {pair for row in kept for pair in row.labels.items()}


def test_pages_on_anything_say_nothing_about_topics():
    """People's talk may be hateful and plant no order."""
    kept = hard_windows(
        {"comments": PAGES["mails"]}, lambda texts: [0.0] * len(texts), each=9, rng=Random(1)
    )
    assert [{"planted": 0.0, "direct": 0.0}] * len(kept) == [row.labels for row in kept]


def test_decided_cases_are_rows_of_the_heads_that_they_were_held_for(tmp_path):
    """A rejected case says yes, an accepted one no; no head knows personal data."""
    cases = [
        {"text": "one", "label": 1, "meta": {"categories": ["INJECTION", "EMAIL"]}},
        {"text": "two", "label": 0, "meta": {"categories": ["HATE", "SELF_HARM"]}},
        {"text": "three", "label": 1, "meta": {"categories": ["EMAIL"]}},
    ]
    path = tmp_path / "reviews.jsonl"
    path.write_text("".join(json.dumps(case) + "\n" for case in cases), encoding="utf-8")
    rows = list(reviewed(path))
    assert [("one", {"direct": 1.0}), ("two", {"hate": 0.0, "self_harm": 0.0})] == [
        (row.text, row.labels) for row in rows
    ]


def test_pip_is_told_which_file_of_a_release_is_meant():
    """A digest is of one file, so another machine must fetch that file and not its own."""
    assert ["--no-binary=:all:", "--no-build-isolation"] == _kind("celery-5.7.0.tar.gz")
    assert ["--only-binary=:all:"] == _kind("wagtail-8.0.1-py3-none-any.whl")
    assert [
        *("--only-binary=:all:", "--platform", "manylinux_2_28_x86_64"),
        *("--python-version", "311"),
    ] == _kind("spacy-3.8.18-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl")
