"""OpenVINO GenAI under the benchmark's protocol, with its continuous batching."""

from __future__ import annotations

import sys
import time

import numpy as np
import openvino as ov
import openvino_genai as genai
from engine_protocol import Task, serve


class OpenVino:
    """Reads the same GGUF file."""

    def __init__(self, file: str) -> None:
        """Load the model."""
        scheduler = genai.SchedulerConfig()
        scheduler.cache_size = 1
        scheduler.max_num_seqs = 64
        scheduler.max_num_batched_tokens = 2048
        scheduler.enable_prefix_caching = False
        self._pipeline = genai.LLMPipeline(file, "CPU", scheduler_config=scheduler)

    def run(self, task: Task) -> float:
        """Seconds for the whole task."""
        config = genai.GenerationConfig()
        config.max_new_tokens = task.new_tokens
        config.ignore_eos = True
        config.do_sample = False
        config.apply_chat_template = False
        ids = np.array(task.prompts, dtype=np.int64)
        inputs = genai.TokenizedInputs(ov.Tensor(ids), ov.Tensor(np.ones_like(ids)))
        start_s = time.perf_counter()
        self._pipeline.generate(inputs, config)
        return time.perf_counter() - start_s


if __name__ == "__main__":
    serve(OpenVino(sys.argv[1]).run)
