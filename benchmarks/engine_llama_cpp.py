"""llama.cpp under the benchmark's protocol, through its own batch interface."""

from __future__ import annotations

import os
import sys
import time

import llama_cpp as llama
import numpy as np
from engine_protocol import Task, Times, serve

_BATCH = 2048


class LlamaCpp:
    """Continuous decoding of several sequences in one context."""

    def __init__(self, file: str) -> None:
        """Load the GGUF file."""
        llama.llama_backend_init()
        self._model = llama.llama_model_load_from_file(
            file.encode(), llama.llama_model_default_params()
        )
        self._width = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self._model))
        self._batch = llama.llama_batch_init(_BATCH, 0, 1)

    def run(self, task: Task) -> Times:
        """Prefill all prompts, then decode them together; making the context is not counted."""
        count, length = len(task.prompts), len(task.prompts[0])
        parameters = llama.llama_context_default_params()
        parameters.n_ctx = count * (length + task.new_tokens + 32)
        parameters.n_batch, parameters.n_ubatch = _BATCH, 512
        parameters.n_seq_max = count
        parameters.n_threads = parameters.n_threads_batch = os.cpu_count() or 1
        context = llama.llama_init_from_model(self._model, parameters)
        start_s = time.perf_counter()
        tokens = self._prefill(context, task)
        times = [time.perf_counter() - start_s]
        for step in range(task.new_tokens - 1):
            self._begin()
            for sequence, token in enumerate(tokens):
                self._add(token, length + step, sequence, logits=True)
            self._decode(context)
            tokens = [self._best(context, index) for index in range(count)]
            times.append(time.perf_counter() - start_s)
        llama.llama_free(context)
        return [times] * count

    def _prefill(self, context: object, task: Task) -> list[int]:
        length, tokens = len(task.prompts[0]), []
        at_once = max(1, _BATCH // length)
        for first in range(0, len(task.prompts), at_once):
            group = task.prompts[first : first + at_once]
            self._begin()
            for offset, prompt in enumerate(group):
                for place, token in enumerate(prompt):
                    self._add(token, place, first + offset, logits=place == length - 1)
            self._decode(context)
            tokens += [self._best(context, (i + 1) * length - 1) for i in range(len(group))]
        return tokens

    def _begin(self) -> None:
        self._batch.n_tokens = 0

    def _add(self, token: int, place: int, sequence: int, *, logits: bool) -> None:
        index = self._batch.n_tokens
        self._batch.token[index] = token
        self._batch.pos[index] = place
        self._batch.n_seq_id[index] = 1
        self._batch.seq_id[index][0] = sequence
        self._batch.logits[index] = logits
        self._batch.n_tokens += 1

    def _decode(self, context: object) -> None:
        if llama.llama_decode(context, self._batch) != 0:
            raise RuntimeError("llama_decode failed")

    def _best(self, context: object, index: int) -> int:
        pointer = llama.llama_get_logits_ith(context, index)
        return int(np.ctypeslib.as_array(pointer, (self._width,)).argmax())


if __name__ == "__main__":
    serve(LlamaCpp(sys.argv[1]).run)
