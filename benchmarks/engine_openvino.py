"""OpenVINO GenAI under the benchmark's protocol, with its continuous batching."""

from __future__ import annotations

import sys
import time

import numpy as np
import openvino as ov
import openvino_genai as genai
from engine_protocol import Task, Times, serve


class OpenVino:
    """Reads the same GGUF file; its own choice of precision, threads and cache."""

    def __init__(self, file: str) -> None:
        """Load the model."""
        scheduler = genai.SchedulerConfig()
        scheduler.cache_size = 1
        scheduler.max_num_seqs = 64
        scheduler.max_num_batched_tokens = 2048
        scheduler.enable_prefix_caching = False
        self._pipeline = genai.ContinuousBatchingPipeline(file, scheduler, "CPU")

    def run(self, task: Task) -> Times:
        """Add all prompts, then step until they are answered."""
        config = genai.GenerationConfig()
        config.max_new_tokens = task.new_tokens
        config.ignore_eos = True
        config.do_sample = False
        times: Times = [[] for _ in task.prompts]
        start_s = time.perf_counter()
        handles = [
            self._pipeline.add_request(number, ov.Tensor(np.array([prompt])), config)
            for number, prompt in enumerate(task.prompts)
        ]
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()
            now_s = time.perf_counter() - start_s
            for handle, stream in zip(handles, times, strict=True):
                while handle.can_read():
                    count = sum(len(output.generated_ids) for output in handle.read().values())
                    stream.extend([now_s] * count)
        return times


if __name__ == "__main__":
    serve(OpenVino(sys.argv[1]).run)
