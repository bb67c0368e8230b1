"""What the guard catches and what it flags wrongly, beside what pip can install instead.

    scripts/bench guard [--data DIR] [--only PART,...] [--json FILE] [--peers PYTHON]

Everything is measured on every JSON-lines file of the folders given (`{"text", "label"}` a line,
optionally `role` and `meta`) and on the repository's own sets. Sources that trained the model are
left out. The parts:

    quality      the classifier at the thresholds of its manifest, calibration, moderation
    layers       rules, classifier and both at the thresholds of the default policy
    evasion      short known attacks, disguised in each way that normalisation reads through
    peers        every detector at thresholds set on the same harmless texts (needs --peers)
    speed        the model alone, with concurrent callers, and the sidecar with its memory
    transformer  speed only: a DeBERTa-v3-base of random weights, in the same run

Peers run in an environment of their own, given by its interpreter: one with `metatronnanoguard`
and `alt-profanity-check` (which brings scikit-learn, for the TF-IDF floor).
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.guard_layers import evasion, layers
from benchmarks.guard_speed import speed, transformer
from guardrails.classifier import MODEL_FOLDER
from guardrails.training.evaluation import Thresholds, attack_score, evaluate, measured
from guardrails.training.reading import WindowReader
from guardrails.training.samples import Sample, read_samples

if TYPE_CHECKING:
    from collections.abc import Callable

SETS = Path("tests/quality/sets")
PEER = Path(__file__).parent / "guard_peer.py"
BUDGETS = (0.01, 0.05)
PARTS = ("quality", "layers", "evasion", "peers", "speed", "transformer")
# Longer attacks have room for the trick to miss a part.
SHORT_CHARS = 300


def main() -> None:
    arguments = _arguments()
    reader = WindowReader(arguments.model)
    folders = (SETS, *arguments.data)
    samples = [s for folder in folders for s in read_samples(folder, most=arguments.most)]
    parts = SETS / "planted_parts.jsonl"
    attacks = [s for s in measured(samples, parts) if not s.source.startswith("mod_")]
    short = [s for s in attacks if not s.document and len(s.text) <= SHORT_CHARS]
    programs: dict[str, Callable[[], Any]] = {
        "quality": lambda: evaluate(samples, reader.scores, thresholds=Thresholds(), parts=parts),
        "layers": lambda: layers(attacks, arguments.model),
        "evasion": lambda: evasion(short, arguments.model),
        "peers": lambda: side_by_side(samples, reader, arguments),
        "speed": lambda: speed(arguments.model),
        "transformer": transformer,
    }
    result: dict[str, Any] = {"model": reader.manifest.version}
    for name in arguments.only.split(","):
        if name != "peers" or arguments.peers:
            result[name] = programs[name]()
    show(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1), encoding="utf-8")


def side_by_side(
    samples: list[Sample], reader: WindowReader, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Every detector at thresholds set on the same harmless texts."""
    texts = [s for s in measured(samples, SETS / "planted_parts.jsonl") if "mod_" not in s.source]
    scored = {
        "vedette": [attack_score(s, x) for s, x in zip(texts, _scores(reader, texts), strict=True)]
    }
    scored |= peer_scores(texts, arguments)
    return {name: _shares(texts, scores) for name, scores in scored.items()}


def peer_scores(texts: list[Sample], arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Scores of the peers, computed by another interpreter."""
    request = {
        "texts": [s.text for s in texts],
        "floor": [
            [s.text, s.label]
            for folder in arguments.data
            for s in read_samples(folder, most=arguments.most * 4)
            if s.trained and not s.source.startswith("mod_")
        ],
    }
    done = subprocess.run(
        [arguments.peers, str(PEER)],
        input=json.dumps(request),
        text=True,
        check=True,
        stdout=subprocess.PIPE,
    )
    scores: dict[str, list[float]] = json.loads(done.stdout)
    return scores


def _scores(reader: WindowReader, texts: list[Sample]) -> list[dict[str, float]]:
    return reader.scores([s.text for s in texts])


def _shares(texts: list[Sample], scores: list[float]) -> dict[str, dict[str, float]]:
    """Share of each source above the thresholds that the harmless texts of its role give."""
    out: dict[str, dict[str, float]] = {}
    for document in (False, True):
        rows = [(s, x) for s, x in zip(texts, scores, strict=True) if s.document is document]
        harmless = [x for s, x in rows if not s.label]
        for budget in BUDGETS:
            at = float(np.quantile(harmless, 1 - budget)) if harmless else float("inf")
            for name in sorted({f"{s.source}/{s.label}" for s, _ in rows}):
                inside = [x > at for s, x in rows if f"{s.source}/{s.label}" == name]
                out.setdefault(name, {})[f"{budget:.0%}"] = float(np.mean(inside))
    return out


def show(result: dict[str, Any], depth: int = 0) -> None:
    """Print nested figures."""
    for name, value in result.items():
        if isinstance(value, dict) and all(not isinstance(v, dict) for v in value.values()):
            cells = ", ".join(f"{k} {_figure(v)}" for k, v in value.items())
            print("  " * depth + f"{name}: {cells}")
        elif isinstance(value, dict):
            print("  " * depth + f"{name}")
            show(value, depth + 1)
        else:
            print("  " * depth + f"{name}: {_figure(value)}")


def _figure(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench guard")
    parser.add_argument("--data", type=Path, action="append", default=[], help="a folder of sets")
    parser.add_argument("--most", type=int, default=1000, help="rows of a file")
    parser.add_argument("--model", type=Path, default=MODEL_FOLDER)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--peers", help="interpreter of the peers' environment")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between them")
    return parser.parse_args()


if __name__ == "__main__":
    main()
