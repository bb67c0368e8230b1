"""Our engine under the benchmark's protocol, alone: no thread, no network."""

from __future__ import annotations

import os

# What the service sets for itself, and what it cannot set once libraries are loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import sys
import time

from engine_protocol import Task, Times, serve

from inference.app import build_engine
from inference.engine.request import Request, Sampling
from inference.models.loading import load
from inference.models.options import LoadOptions
from inference.settings import InferenceSettings
from vedette import home


class Vedette:
    """The engine as the service builds it from its defaults."""

    def __init__(self, folder: str, quantization: str = "auto") -> None:
        """Load the model as the service would."""
        settings = InferenceSettings()
        model = load(
            folder,
            LoadOptions(
                models_dir=home.models_dir(),
                allow_download=False,
                device="cpu",
                quantization=quantization,
                cuda_graphs=settings.cuda_graphs,
                threads=settings.threads,
                cache_bytes=settings.cache_bytes,
                max_context_length=settings.max_context_length,
                max_new_tokens=settings.max_new_tokens,
                default_new_tokens=settings.default_new_tokens,
                max_running=settings.max_running,
            ),
        )
        self._engine = build_engine(model, settings)

    def run(self, task: Task) -> Times:
        """Add all prompts, then step until they are answered."""
        sampling = Sampling(max_new_tokens=task.new_tokens, min_new_tokens=task.new_tokens)
        times: Times = [[] for _ in task.prompts]
        start_s = time.perf_counter()
        for number, prompt in enumerate(task.prompts):
            self._engine.add(Request(id=number, prompt=tuple(prompt), sampling=sampling))
        while self._engine.has_work:
            outputs = self._engine.step()
            now_s = time.perf_counter() - start_s
            for output in outputs:
                times[output.request_id] += [now_s] * output.new_tokens
        return times


if __name__ == "__main__":
    serve(Vedette(*sys.argv[1:]).run)
