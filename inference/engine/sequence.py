"""A request under way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inference.engine.request import Output, Timings, Usage

if TYPE_CHECKING:
    from inference.engine.detokenizer import Detokenizer
    from inference.engine.request import FinishReason, Request, TokenLogprob
    from inference.engine.stopping import StopScanner

__all__ = ["Sequence"]


@dataclass(slots=True, eq=False, kw_only=True)
class Sequence:
    """The tokens of one request, how far they are computed, and what was told of them."""

    request: Request
    detokenizer: Detokenizer
    stops: StopScanner
    arrived_s: float
    tokens: list[int] = field(init=False)
    blocks: list[int] = field(default_factory=list)
    num_computed: int = 0
    paused: bool = False  # keeps its blocks and is not computed
    num_cached: int = 0  # of the prompt, at the first admission
    scheduled_s: float | None = None
    first_token_s: float | None = None

    def __post_init__(self) -> None:
        """Begin with the prompt."""
        self.tokens = list(self.request.prompt)

    @property
    def id(self) -> int:
        """The request's number."""
        return self.request.id

    @property
    def num_generated(self) -> int:
        """Tokens of the answer so far."""
        return len(self.tokens) - len(self.request.prompt)

    @property
    def num_pending(self) -> int:
        """Tokens whose keys and values are still to be computed."""
        return len(self.tokens) - self.num_computed

    @property
    def is_decoding(self) -> bool:
        """Whether one token is all there is to compute."""
        return self.num_pending == 1 and self.num_generated > 0

    def push(self, token: int, *, is_end: bool) -> str:
        """Take the next token; return the text that can be passed on."""
        self.tokens.append(token)
        if is_end:
            return ""
        text = self.detokenizer.push(token)
        if self.num_generated < self.request.sampling.min_new_tokens:
            return text
        return self.stops.push(text)

    def progress(self, text: str, logprob: TokenLogprob | None) -> Output:
        """News of one more token."""
        return Output(
            request_id=self.id,
            text=text,
            new_tokens=1,
            logprobs=() if logprob is None else (logprob,),
            timings=self._timings(None) if self.num_generated == 1 else None,
        )

    def finish(
        self,
        reason: FinishReason,
        now_s: float,
        *,
        text: str = "",
        new_tokens: int = 0,
        logprob: TokenLogprob | None = None,
    ) -> Output:
        """The last news: what was held back, and the account."""
        if not self.stops.stopped:
            text += self.stops.push(self.detokenizer.flush()) + self.stops.flush()
        return Output(
            request_id=self.id,
            text=text,
            new_tokens=new_tokens,
            logprobs=() if logprob is None else (logprob,),
            finish_reason=reason,
            usage=Usage(len(self.request.prompt), self.num_generated, self.num_cached),
            timings=self._timings(now_s),
        )

    def _timings(self, finished_s: float | None) -> Timings:
        return Timings(
            arrived_s=self.arrived_s,
            scheduled_s=self.scheduled_s,
            first_token_s=self.first_token_s,
            finished_s=finished_s,
        )
