"""Puts texts on spans, for development only: what was checked, without personal data and secrets.

Off unless VEDETTE_GUARDRAILS_CAPTURE_CONTENT says otherwise, and then the service starts on
loopback only. Whole texts are captured: prompts, and answers that are not streamed. Each is masked
first by a policy of its own, whatever the request's allows; what that policy cannot find, such as
names outside set phrases, is captured.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from opentelemetry import trace

from guardrails.findings import Direction
from guardrails.layers import Shelf
from guardrails.policy.compiling import compile_policy
from guardrails.policy.document import PolicyDocument
from servicekit import names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardrails.pipeline.checking import Checker
    from guardrails.window.lanes import Detector
    from guardrails.window.surroundings import Text

__all__ = ["Capture"]

_KEYS: Final = {
    Direction.INPUT: names.GEN_AI_INPUT_MESSAGES,
    Direction.OUTPUT: names.GEN_AI_OUTPUT_MESSAGES,
}
_MASKED: Final = {"detectors": {"pii": {"action": "mask"}, "secrets": {"action": "mask"}}}


class Capture:
    """Writes masked texts on the current span."""

    def __init__(self, detectors: Mapping[str, Detector], checker: Checker) -> None:
        """Mask with these detectors."""
        document = PolicyDocument.model_validate(
            {"version": 1, "input": _MASKED, "output": _MASKED}
        )
        policy, mistakes = compile_policy("capture", document, detectors, Shelf())
        assert policy is not None, mistakes
        self._policy = policy
        self._checker = checker

    async def note(self, texts: Sequence[Text], direction: Direction) -> None:
        """These texts are being checked."""
        messages = []
        for text in texts:
            masked = await self._checker.check(self._policy, text, direction=direction)
            messages.append({"role": text.role.value, "content": masked.text})
        trace.get_current_span().set_attribute(
            _KEYS[direction], json.dumps(messages, ensure_ascii=False)
        )
