"""Every span name, attribute key and metric name that Vedette emits, in one place.

The `rpc.*` keys follow OpenTelemetry semantic conventions 1.44 (release candidate), which rename
`rpc.response.status_code` to `rpc.status_code` in the version after; both are emitted.
The `gen_ai.*` keys are those of opentelemetry-util-genai 1.3b0 (development status).
`vedette.*` is our own namespace. docs/telemetry.md explains each, and maps ours to the drafts of
others; a test holds the two together.
"""

from __future__ import annotations

from typing import Final

RPC_SYSTEM: Final = "rpc.system.name"
RPC_METHOD: Final = "rpc.method"
RPC_RESPONSE_STATUS_CODE: Final = "rpc.response.status_code"
RPC_STATUS_CODE: Final = "rpc.status_code"
SERVER_ADDRESS: Final = "server.address"
ERROR_TYPE: Final = "error.type"

GEN_AI_OPERATION: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER: Final = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
GEN_AI_REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
GEN_AI_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
GEN_AI_TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - not a password
GEN_AI_INPUT_MESSAGES: Final = "gen_ai.input.messages"
GEN_AI_OUTPUT_MESSAGES: Final = "gen_ai.output.messages"

REQUEST_ID: Final = "vedette.request_id"
TENANT: Final = "vedette.tenant"
ERROR_REASON: Final = "vedette.error.reason"
CACHED_TOKENS: Final = "vedette.cached_tokens"
FINISH_REASON: Final = "vedette.finish_reason"
POLICY_DIGEST: Final = "vedette.policy.digest"
RELEASED_CHARS: Final = "vedette.released_chars"
SCANNED_CHARS: Final = "vedette.scanned_chars"

GUARD_DIRECTION: Final = "vedette.guard.direction"
GUARD_ACTION: Final = "vedette.guard.action"
GUARD_DETECTOR: Final = "vedette.guard.detector"
GUARD_STATE: Final = "vedette.guard.state"
GUARD_SCORE: Final = "vedette.guard.score"
GUARD_FINDINGS: Final = "vedette.guard.findings"
GUARD_REVIEWS: Final = "vedette.guard.reviews"
GUARD_TREATMENTS: Final = "vedette.guard.treatments"
GUARD_CATEGORIES: Final = "vedette.guard.categories"

STEP_OUTCOME: Final = "vedette.step.outcome"
STEP_AUTH: Final = "auth"
STEP_LIMITS: Final = "limits"
STEP_BUDGET: Final = "budget"
STEP_GUARD_INPUT: Final = "guard_input"
STEP_VERDICT_CACHE: Final = "verdict_cache"
STEP_GUARD_HEDGE: Final = "guard_hedge"
STEP_INFERENCE: Final = "inference"
STEP_CACHE: Final = "cache"
STEP_GUARD_OUTPUT: Final = "guard_output"
STEP_SETTLE: Final = "settle"
STEP_RECORD: Final = "record"
STEP_GIVE_BACK: Final = "give_back"

PROBE: Final = "vedette.probe"
PROBE_OUTCOME: Final = "vedette.probe_outcome"
SCRIPT: Final = "vedette.script"
GROUP: Final = "vedette.group"
CACHE: Final = "vedette.cache"
BREAKER: Final = "vedette.breaker"
BUDGET_PERIOD: Final = "vedette.budget.period"
BUDGET_UNIT: Final = "vedette.budget.unit"
GUARD_CATEGORY: Final = "vedette.guard.category"
SHADOW_POLICY: Final = "vedette.guard.shadow.policy"
SHADOW_OUTCOME: Final = "vedette.guard.shadow.outcome"
PREFIX: Final = "vedette.prefix"
SEQUENCE_STATE: Final = "vedette.sequence.state"

SPAN_PROBE: Final = "probe {probe}"
SPAN_DETECTOR: Final = "detect {detector}"
SPAN_UNANSWERED: Final = "queue or prefill"
SPAN_QUEUE: Final = "queue"
SPAN_PREFILL: Final = "prefill"
SPAN_DECODE: Final = "decode"

WASTED_TOKENS: Final = "vedette.speculation.wasted_tokens"
DEGRADED_PART: Final = "vedette.degraded.part"
DEGRADED_MODE: Final = "vedette.degraded.mode"

EVENT_DEGRADED: Final = "degraded"
EVENT_FIRST_TOKEN: Final = "first_token"  # noqa: S105 - not a password
EVENT_CANCELLED: Final = "cancelled"

RPC_SERVER_DURATION: Final = "rpc.server.call.duration"
RPC_CLIENT_DURATION: Final = "rpc.client.call.duration"
GEN_AI_CLIENT_DURATION: Final = "gen_ai.client.operation.duration"
GEN_AI_CLIENT_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
GEN_AI_CLIENT_TOKENS: Final = "gen_ai.client.token.usage"
GEN_AI_SERVER_DURATION: Final = "gen_ai.server.request.duration"
GEN_AI_SERVER_FIRST_TOKEN: Final = "gen_ai.server.time_to_first_token"  # noqa: S105
GEN_AI_SERVER_PER_TOKEN: Final = "gen_ai.server.time_per_output_token"  # noqa: S105
