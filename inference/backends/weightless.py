"""A model without weights, for tests of everything around a model.

It is deterministic and needs no files. Its tokens are bytes, the harshest cut there is: every
character outside ASCII arrives in several tokens. It answers with the text of the last user
message, word for word, or recites a given text, and then ends its answer by itself.

It computes logits like any model, 40 for the byte it means and 0 for the rest, so the scheduler,
the sampler, stop strings and detokenization are all the real ones. A delay for each step makes it
as slow as wanted.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from inference.models.card import ModelCard, Quantization
from inference.models.chat import ChatTokenizer
from inference.models.served import ServedModel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inference.engine.runner import Array, Row

__all__ = ["WeightlessRunner", "weightless_model", "weightless_tokenizer"]

_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_CONTROLS = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
_END, _, _USER, _ASSISTANT = range(256, 260)
_SURE = 40.0
_NUM_BLOCKS = 65_536


def weightless_tokenizer() -> ChatTokenizer:
    """One token a byte, and one for each role."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(control, special=True) for control in _CONTROLS])
    return ChatTokenizer(
        backend=backend, template=_TEMPLATE, end_ids=frozenset({_END}), template_tokens={}
    )


def weightless_model(
    *, text: str, delay_s: float, context_length: int, max_new_tokens: int
) -> ServedModel:
    """The model as it is served: it recites `text`, or repeats the user if that is empty."""
    tokenizer = weightless_tokenizer()
    recital = tokenizer.encode_text(text) if text else None
    runner = WeightlessRunner(num_blocks=_NUM_BLOCKS, recital=recital, delay_s=delay_s)
    card = ModelCard(
        name="weightless",
        revision="1",
        license="Apache-2.0",
        quantization=Quantization.NONE,
        context_length=context_length,
        max_new_tokens=min(max_new_tokens, context_length - 1),
        parameters=0,
        weight_bytes=0,
        cache_bytes=0,
        device="cpu",
        vocabulary_size=tokenizer.size,
    )
    return ServedModel(
        card=card, tokenizer=tokenizer, runner=runner, default_new_tokens=card.max_new_tokens
    )


class WeightlessRunner:
    """Says the last user message again, or a given text."""

    def __init__(
        self,
        *,
        num_blocks: int,
        block_size: int = 16,
        recital: Sequence[int] | None = None,
        delay_s: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Set the manner.

        Args:
            num_blocks: how much cache to pretend to have.
            block_size: tokens in a block.
            recital: tokens to answer with, whatever was asked; None repeats the user.
            delay_s: how long a step takes.
            sleep: waits that long.
        """
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.cache_bytes = 0
        self._recital = None if recital is None else [*recital, _END]
        self._delay_s = delay_s
        self._sleep = sleep

    def forward(self, rows: Sequence[Row]) -> Array:
        """One line for each row that wants one."""
        if self._delay_s:
            self._sleep(self._delay_s)
        wanted = [row for row in rows if row.wants_logits]
        logits = np.zeros((len(wanted), 256 + len(_CONTROLS)), dtype=np.float32)
        for line, row in enumerate(wanted):
            logits[line, self._next(row.tokens)] = _SURE
        return logits

    def warm_up(self) -> None:
        """Nothing to do."""

    def _next(self, tokens: Sequence[int]) -> int:
        reply = _last(tokens, _ASSISTANT) + 1
        script = self._recital or _last_user_message(tokens[: reply - 1])
        place = len(tokens) - reply
        return script[place] if place < len(script) else _END


def _last_user_message(tokens: Sequence[int]) -> Sequence[int]:
    """The message with the end token that closes it; only the end where no user spoke."""
    begin = _last(tokens, _USER)
    return tokens[begin + 1 :][: tokens[begin + 1 :].index(_END) + 1] if begin >= 0 else [_END]


def _last(tokens: Sequence[int], wanted: int) -> int:
    for index in range(len(tokens) - 1, -1, -1):
        if tokens[index] == wanted:
            return index
    return -1
