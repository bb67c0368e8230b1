"""The names that the services give to what they record, as far as reading traces needs them."""

from __future__ import annotations

from typing import Final

FINISH_REASON: Final = "vedette.finish_reason"
REQUEST_ID: Final = "vedette.request_id"
TENANT: Final = "vedette.tenant"
DEGRADED_PART: Final = "vedette.degraded.part"
DEGRADED_MODE: Final = "vedette.degraded.mode"
RPC_STATUS_CODE: Final = "rpc.response.status_code"
CACHED_TOKENS: Final = "vedette.cached_tokens"
GEN_AI_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"

STEP_OUTCOME: Final = "vedette.step.outcome"
GUARD_ACTION: Final = "vedette.guard.action"
GUARD_CATEGORIES: Final = "vedette.guard.categories"
GUARD_DETECTOR: Final = "vedette.guard.detector"
GUARD_DIRECTION: Final = "vedette.guard.direction"
GUARD_STATE: Final = "vedette.guard.state"

SPAN_UNANSWERED: Final = "queue or prefill"
SPAN_QUEUE: Final = "queue"
SPAN_PREFILL: Final = "prefill"
SPAN_DECODE: Final = "decode"
EVENT_DEGRADED: Final = "degraded"
EVENT_FIRST_TOKEN: Final = "first_token"  # noqa: S105  # not a password
