"""Scores texts with the peers; run by an interpreter that has them. JSON in, JSON out."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any


def nanoguard(texts: list[str]) -> list[float]:
    from nanoguard import NanoGuard  # noqa: PLC0415 - only in the peers' environment

    guard = NanoGuard()
    return [guard.scan(text).injection_score for text in texts]


def profanity(texts: list[str]) -> list[float]:
    from profanity_check import predict_prob  # noqa: PLC0415 - only in the peers' environment

    return [float(score) for score in predict_prob(texts)]


def floor(texts: list[str], rows: list[tuple[str, int]]) -> list[float]:
    """TF-IDF and logistic regression on the sources that trained the guard."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    known = words.fit_transform([text for text, _ in rows])
    model = LogisticRegression(max_iter=300, class_weight="balanced").fit(
        known, [y for _, y in rows]
    )
    return [float(score) for score in model.predict_proba(words.transform(texts))[:, 1]]


def main() -> None:
    request: dict[str, Any] = json.load(sys.stdin)
    texts = request["texts"]
    with contextlib.redirect_stdout(sys.stderr):
        scores = {"nanoguard": nanoguard(texts), "alt-profanity-check": profanity(texts)}
        if request["floor"]:
            scores["TF-IDF floor"] = floor(texts, request["floor"])
    json.dump(scores, sys.stdout)


if __name__ == "__main__":
    main()
