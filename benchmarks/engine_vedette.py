"""Our engine under the benchmark's protocol; see `engine_protocol.py`."""

from __future__ import annotations

import os

os.environ.setdefault("GOMP_SPINCOUNT", os.environ.get("BENCH_SPINCOUNT", "0"))

import sys
import time
from pathlib import Path

from engine_protocol import Task, serve

from inference.engine.blocks import BlockPool
from inference.engine.engine import BatchingEngine
from inference.engine.queue import FairQueue
from inference.engine.request import Request, Sampling
from inference.engine.scheduler import Limits, Scheduler
from inference.models.loading import load
from inference.models.options import LoadOptions


class Vedette:
    """The bare engine: no thread, no network."""

    def __init__(self, folder: str, quantization: str = "auto") -> None:
        """Load the model as the service would."""
        options = LoadOptions(
            models_dir=Path(),
            allow_download=False,
            device="auto",
            quantization=quantization,
            threads=0,
            cache_bytes=1 << 30,
            max_context_length=8192,
            max_new_tokens=2048,
            default_new_tokens=512,
            max_running=64,
        )
        model = load(folder, options)
        runner = model.runner
        self._blocks = BlockPool(num_blocks=runner.num_blocks, block_size=runner.block_size)
        limits = Limits(max_running=64, max_step_tokens=512, prompt_share=100)
        self._engine = BatchingEngine(
            runner=runner,
            scheduler=Scheduler(blocks=self._blocks, queue=FairQueue(), limits=limits),
            vocabulary=model.tokenizer,
            context_length=model.card.context_length,
        )

    def run(self, task: Task) -> float:
        """Seconds for the whole task."""
        self._blocks.forget()
        sampling = Sampling(max_new_tokens=task.new_tokens, min_new_tokens=task.new_tokens)
        start_s = time.perf_counter()
        for number, prompt in enumerate(task.prompts):
            self._engine.add(Request(id=number, prompt=tuple(prompt), sampling=sampling))
        generated = 0
        while self._engine.has_work:
            generated += sum(output.new_tokens for output in self._engine.step())
        assert generated == task.new_tokens * len(task.prompts)
        return time.perf_counter() - start_s


if __name__ == "__main__":
    serve(Vedette(*sys.argv[1:]).run)
