"""Answers that conform to a JSON schema, a regular expression or a grammar.

llguidance says which tokens may come next. Its limits bound what a constraint may cost; one that
runs into them ends its own request with an error and no other.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from array_api_compat import array_namespace, device
from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from inference.engine.request import JsonSchema, Regex

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from inference.engine.request import Constraint
    from inference.engine.runner import Array

__all__ = ["ConstraintError", "Guide", "GuideMaker"]


class ConstraintError(Exception):
    """The constraint is not one, or is too large."""


class GuideMaker:
    """Compiles constraints for one vocabulary. Safe to use from several threads."""

    def __init__(self, tokenizer: Tokenizer, end_ids: frozenset[int]) -> None:
        """Do nothing yet."""
        self._backend = tokenizer
        self._end_ids = end_ids

    @cached_property
    def _tokenizer(self) -> LLTokenizer:
        """The vocabulary, which takes a good part of a second to read, at the first constraint."""
        return LLTokenizer(self._backend.to_str(), eos_token=sorted(self._end_ids))

    def make(self, constraint: Constraint) -> Guide:
        """Compile a constraint; may take a while.

        Raises:
            ConstraintError: if it is malformed or too large.
        """
        try:
            grammar = _grammar(constraint)
        except ValueError as error:
            raise ConstraintError from error
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0, limits=_limits())
        if matcher.is_error():
            raise ConstraintError
        return Guide(matcher, self._end_ids)


class Guide:
    """Where one answer stands in its constraint."""

    def __init__(self, matcher: LLMatcher, end_ids: frozenset[int]) -> None:
        """Begin."""
        self._matcher = matcher
        self._end_ids = end_ids
        self.failed = False

    @property
    def is_complete(self) -> bool:
        """Whether nothing but the end can follow."""
        return bool(self._matcher.is_stopped())

    def apply(self, logits: Array) -> None:
        """Forbid, in one line of logits, what the constraint does not allow next."""
        allowed = np.frombuffer(self._matcher.compute_logit_bias(), dtype=np.bool_)
        self.failed = self._matcher.is_error() or not bool(allowed.any())
        if self.failed:
            logits[sorted(self._end_ids)] = float("inf")
            return
        # A model may have more rows of logits than its tokenizer has tokens.
        forbidden = np.ones(len(logits), dtype=np.bool_)
        forbidden[: len(allowed)] = ~allowed
        xp = array_namespace(logits)
        logits[xp.asarray(forbidden, device=device(logits))] = -float("inf")

    def consume(self, token: int) -> None:
        """Take the token that was chosen."""
        self.failed = self.failed or not self._matcher.consume_token(token)


def _grammar(constraint: Constraint) -> str:
    if isinstance(constraint, JsonSchema):
        return LLMatcher.grammar_from_json_schema(constraint.text)
    if isinstance(constraint, Regex):
        return LLMatcher.grammar_from_regex(constraint.text)
    return LLMatcher.grammar_from_lark(constraint.text)


def _limits() -> LLParserLimits:
    return LLParserLimits(max_grammar_size=100_000, max_lexer_states=50_000, verbose_errors=False)
