"""Every metric that Vedette records: its name, its unit, what it says, and how finely.

A service makes the instruments that it uses from these; nothing else in the repository names a
metric. Histograms have bounds that suit what they measure, because the library's own suit
milliseconds of web pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from servicekit import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Meter, Observation

__all__ = ["CATALOGUE", "Instrument"]

_SECONDS: Final = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0),
)
_SHORT_SECONDS: Final = (
    *(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
    *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
)
_COUNTS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)
_SHARES: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
_CHARACTERS: Final = (0, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One metric. `labels` are all the attribute keys that it can have."""

    name: str
    unit: str
    says: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    def histogram(self, meter: Meter) -> Histogram:
        """Make it a distribution."""
        return meter.create_histogram(
            self.name, self.unit, self.says, explicit_bucket_boundaries_advisory=self.bounds
        )

    def counter(self, meter: Meter) -> Counter:
        """Make it a sum that grows; without labels it is there from the beginning, as nought."""
        counter = meter.create_counter(self.name, self.unit, self.says)
        if not self.labels:
            counter.add(0)
        return counter

    def observed(
        self,
        meter: Meter,
        look: Callable[[CallbackOptions], Iterable[Observation]],
        *,
        grows: bool = False,
    ) -> None:
        """Ask for it when somebody collects; `look` runs in a thread of the exporter."""
        create = meter.create_observable_counter if grows else meter.create_observable_gauge
        create(self.name, [look], self.unit, self.says)


_RPC: Final = (
    names.RPC_SYSTEM,
    names.RPC_METHOD,
    names.RPC_RESPONSE_STATUS_CODE,
    names.ERROR_TYPE,
)
_GEN_AI: Final = (names.GEN_AI_OPERATION, names.GEN_AI_PROVIDER, names.GEN_AI_RESPONSE_MODEL)

RPC_SERVER_DURATION: Final = Instrument(
    name=names.RPC_SERVER_DURATION,
    unit="s",
    says="How long calls to this service took, and how they ended.",
    labels=(*_RPC, names.ERROR_REASON),
    bounds=_SECONDS,
)
RPC_CLIENT_DURATION: Final = Instrument(
    name=names.RPC_CLIENT_DURATION,
    unit="s",
    says="How long this service's calls to others took, and how they ended.",
    labels=(*_RPC, names.SERVER_ADDRESS),
    bounds=_SECONDS,
)
RPC_ACTIVE: Final = Instrument(
    name="vedette.rpc.active", unit="{call}", says="Calls that are being answered now."
)

ANSWER_DURATION: Final = Instrument(
    name=names.GEN_AI_CLIENT_DURATION,
    unit="s",
    says="How long an answer took, from the request to its last event.",
    labels=(*_GEN_AI, names.FINISH_REASON),
    bounds=_SECONDS,
)
ANSWER_FIRST_TEXT: Final = Instrument(
    name=names.GEN_AI_CLIENT_FIRST_CHUNK,
    unit="s",
    says="How long a caller waited for the first released text of a streamed answer.",
    labels=_GEN_AI,
    bounds=_SECONDS,
)
ANSWER_TOKENS: Final = Instrument(
    name=names.GEN_AI_CLIENT_TOKENS,
    unit="{token}",
    says="Tokens of prompts and answers.",
    labels=(*_GEN_AI, names.GEN_AI_TOKEN_TYPE),
    bounds=_COUNTS,
)
CACHE_LOOKUPS: Final = Instrument(
    name="vedette.cache.lookups",
    unit="{lookup}",
    says="Questions to the caches, by outcome: hit, miss, shared.",
    labels=(names.CACHE, names.STEP_OUTCOME),
)
BREAKER_STATE: Final = Instrument(
    name="vedette.breaker.state",
    unit="{state}",
    says="Whether a circuit breaker is closed (0), half open (1) or open (2).",
    labels=(names.BREAKER,),
)
DEGRADATIONS: Final = Instrument(
    name="vedette.degradations",
    unit="{request}",
    says="Requests that a part served in a reduced way.",
    labels=(names.DEGRADED_PART, names.DEGRADED_MODE),
)
WASTED_TOKENS: Final = Instrument(
    name=names.WASTED_TOKENS,
    unit="{token}",
    says="Tokens that were generated early, for prompts that were then blocked.",
)
BUDGET_LEFT: Final = Instrument(
    name="vedette.budget.left",
    unit="1",
    says="The share of a tenant's budget that is neither used nor reserved, from 0 to 1.",
    labels=(names.TENANT, names.BUDGET_PERIOD, names.BUDGET_UNIT),
)

CHECK_DURATION: Final = Instrument(
    name="vedette.guard.check.duration",
    unit="s",
    says="How long a call of the guard took, by what it came to.",
    labels=(names.GUARD_DIRECTION, names.GUARD_ACTION),
    bounds=_SHORT_SECONDS,
)
DETECTOR_DURATION: Final = Instrument(
    name="vedette.guard.detector.duration",
    unit="s",
    says="How long a detector was busy in a call, by whether it ran.",
    labels=(names.GUARD_DETECTOR, names.GUARD_DIRECTION, names.GUARD_STATE),
    bounds=_SHORT_SECONDS,
)
FINDINGS: Final = Instrument(
    name="vedette.guard.findings",
    unit="{finding}",
    says="What was found, and what the policy made of it.",
    labels=(
        names.GUARD_DETECTOR,
        names.GUARD_CATEGORY,
        names.GUARD_DIRECTION,
        names.GUARD_ACTION,
    ),
)
HELD_CHARACTERS: Final = Instrument(
    name="vedette.guard.held.characters",
    unit="{character}",
    says="The most characters of a streamed answer that had to wait for a verdict at once.",
    bounds=_CHARACTERS,
)
SHADOW_CHECKS: Final = Instrument(
    name="vedette.guard.shadow.checks",
    unit="{check}",
    says="Texts that a policy in the shadow judged too: agreed, disagreed, failed, dropped.",
    labels=(names.SHADOW_POLICY, names.SHADOW_OUTCOME),
)
REVIEWS_OPENED: Final = Instrument(
    name="vedette.guard.reviews.opened",
    unit="{case}",
    says="Cases that were put before a person.",
)
REVIEWS_DECIDED: Final = Instrument(
    name="vedette.guard.reviews.decided",
    unit="{case}",
    says="Cases that a person has decided; what was opened and not decided waits or has expired.",
)

GENERATION_DURATION: Final = Instrument(
    name=names.GEN_AI_SERVER_DURATION,
    unit="s",
    says="How long a generation took, its time in the queue included.",
    labels=(*_GEN_AI, names.FINISH_REASON),
    bounds=_SECONDS,
)
FIRST_TOKEN: Final = Instrument(
    name=names.GEN_AI_SERVER_FIRST_TOKEN,
    unit="s",
    says="How long the model took to its first token, the queue included.",
    labels=_GEN_AI,
    bounds=_SECONDS,
)
PER_TOKEN: Final = Instrument(
    name=names.GEN_AI_SERVER_PER_TOKEN,
    unit="s",
    says="The mean time from one token of an answer to the next.",
    labels=_GEN_AI,
    bounds=_SHORT_SECONDS,
)
QUEUE_DURATION: Final = Instrument(
    name="vedette.inference.queue.duration",
    unit="s",
    says="How long a request waited before the engine took it up.",
    labels=(names.GEN_AI_RESPONSE_MODEL,),
    bounds=_SECONDS,
)
PROMPT_TOKENS: Final = Instrument(
    name="vedette.inference.prompt.tokens",
    unit="{token}",
    says="Tokens of prompts, by whether the prefix cache had them: hit, miss.",
    labels=(names.GEN_AI_RESPONSE_MODEL, names.PREFIX),
)
SEQUENCES: Final = Instrument(
    name="vedette.inference.sequences",
    unit="{sequence}",
    says="Requests that the engine has now, by state: running, waiting.",
    labels=(names.GEN_AI_RESPONSE_MODEL, names.SEQUENCE_STATE),
)
STEPS: Final = Instrument(
    name="vedette.inference.steps",
    unit="{step}",
    says="Steps that the engine computed.",
    labels=(names.GEN_AI_RESPONSE_MODEL,),
)
STEP_ROWS: Final = Instrument(
    name="vedette.inference.step.rows",
    unit="{row}",
    says="Rows of all steps together; divided by the steps, the mean batch size.",
    labels=(names.GEN_AI_RESPONSE_MODEL,),
)
KV_USAGE: Final = Instrument(
    name="vedette.inference.kv.usage",
    unit="1",
    says="The share of the key-value cache that running requests hold, from 0 to 1.",
    labels=(names.GEN_AI_RESPONSE_MODEL,),
)
PROBES: Final = Instrument(
    name="vedette.monitor.probes",
    unit="{probe}",
    says="Fixed questions that the gateway asked itself: passed, failed, error.",
    labels=(names.PROBE, names.PROBE_OUTCOME),
)
MONITORED_TEXTS: Final = Instrument(
    name="vedette.monitor.texts",
    unit="{text}",
    says="Whole texts that were checked, by writing system and by what became of them.",
    labels=(names.SCRIPT, names.GUARD_DIRECTION, names.GUARD_ACTION),
)
GROUP_SCORES: Final = Instrument(
    name="vedette.monitor.group.score",
    unit="{score}",
    says="The moderation score of texts that mention a group of people, from 0 to 1.",
    labels=(names.GROUP,),
    bounds=_SHARES,
)

CATALOGUE: Final = tuple(value for value in vars().values() if isinstance(value, Instrument))
