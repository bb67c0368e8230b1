"""How long the guard model takes: alone, over a long document, and under concurrent callers."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import psutil

from benchmarks.guard_sidecar import sidecar
from guardrails.classifier import Checkpoints, ClassifierJudge
from guardrails.classifier.session import ModelSession

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 60
SENTENCE = "The committee met on Tuesday and agreed to look at the plan again in spring. "


def speed(folder: Path) -> dict[str, Any]:
    """Milliseconds and megabytes; run it pinned to one core for the figures of one core."""
    before = _resident_mb()
    session = ModelSession(folder)
    result: dict[str, Any] = {}
    for tokens in (32, 128):
        result[f"{tokens} tokens"] = _timed(partial(session.logits, _of(session, tokens)))
    document = _of(session, 2000)
    checkpoints = Checkpoints(
        stride_chars=session.manifest.stride_chars, window_chars=session.manifest.window_chars
    )
    windows = [document[cut.start : cut.end] for cut in checkpoints.cuts(document)]
    result["document of 2,000 tokens"] = _timed(
        lambda: [session.logits(window) for window in windows], rounds=8
    )
    result["resident memory, MB"] = {
        "added by the model": _resident_mb() - before,
        "in all": _resident_mb(),
    }
    for callers in (1, 8, 32):
        result[f"{callers} callers, 128 tokens"] = asyncio.run(_callers(session, callers))
    result["32 callers beside a long document"] = asyncio.run(_beside(session, windows))
    result["sidecar, default policy"] = sidecar(
        {"32 tokens": _of(session, 32), "128 tokens": _of(session, 128), "2,000 tokens": document}
    )
    return result


def _of(session: ModelSession, tokens: int) -> str:
    text = SENTENCE * (tokens // 10 + 1)
    ids = session.count(SENTENCE)
    return text[: len(SENTENCE) * tokens // ids]


def _timed(work: Callable[[], object], *, rounds: int = ROUNDS) -> dict[str, float]:
    work()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    return {"p50 ms": statistics.median(times), "best ms": min(times)}


async def _callers(session: ModelSession, callers: int) -> dict[str, float]:
    judge = ClassifierJudge()
    judge.use(session)
    texts = [_of(session, 128)] * 4
    times: list[float] = []

    async def one() -> None:
        for text in texts:
            started = time.perf_counter()
            await judge.judge(text)
            times.append((time.perf_counter() - started) * 1000)

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(callers)))
    taken = time.perf_counter() - started
    judge.close()
    return {
        "p50 ms": statistics.median(times),
        "p99 ms": float(np.quantile(times, 0.99)),
        "texts/s": len(times) / taken,
    }


async def _beside(session: ModelSession, windows: list[str]) -> dict[str, float]:
    """Short texts of many callers while one caller's document is read."""
    judge = ClassifierJudge()
    judge.use(session)
    short = _of(session, 32)

    async def document() -> float:
        started = time.perf_counter()
        for window in windows * 4:
            await judge.judge(window)
        return (time.perf_counter() - started) * 1000

    async def one() -> float:
        started = time.perf_counter()
        await judge.judge(short)
        return (time.perf_counter() - started) * 1000

    reading = asyncio.create_task(document())
    await asyncio.sleep(0)
    waits = await asyncio.gather(*(one() for _ in range(32)))
    whole = await reading
    judge.close()
    return {"longest wait ms": max(waits), "document ms": whole}


def transformer() -> dict[str, Any]:
    """Speed only: the shape of a common injection classifier, 184M parameters."""
    import onnx  # noqa: PLC0415 - only for this comparison
    import torch  # noqa: PLC0415
    from onnxruntime.quantization import quantize_dynamic  # noqa: PLC0415
    from transformers import (  # noqa: PLC0415
        AutoConfig,
        AutoModelForSequenceClassification,
    )

    config = AutoConfig.for_model(
        "deberta-v2",
        vocab_size=128100,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        relative_attention=True,
        position_buckets=256,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        type_vocab_size=0,
    )
    model = AutoModelForSequenceClassification.from_config(config).eval()
    ids = torch.ones(1, 128, dtype=torch.long)
    out: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        plain, small = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        torch.onnx.export(
            model, (ids, torch.ones_like(ids)), str(plain),
            input_names=["input_ids", "attention_mask"], dynamo=True, external_data=False,
        )  # fmt: skip
        graph = onnx.load(plain)
        del graph.graph.value_info[:]  # the exporter's shapes contradict those of the quantizer
        onnx.save(graph, plain)
        quantize_dynamic(str(plain), str(small), per_channel=True)
        for name, path in (("FP32", plain), ("INT8", small)):
            session = onnxruntime.InferenceSession(str(path), _one_thread())
            feed = {"input_ids": ids.numpy(), "attention_mask": np.ones((1, 128), dtype=np.int64)}
            out[f"{name}, 128 tokens"] = _timed(lambda: session.run(None, feed), rounds=10)  # noqa: B023
    return out


def _one_thread() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return options


def _resident_mb() -> float:
    return float(psutil.Process().memory_info().rss) / 1e6
