"""The shape of a policy file, checked strictly: an unknown key is a mistake."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from guardrails.findings import Direction, Role, Treatment

__all__ = [
    "CustomRule",
    "DetectorEntry",
    "DirectionSection",
    "Model",
    "OutputSection",
    "PolicyDocument",
    "Purpose",
    "Reviews",
    "RoleVerdict",
    "Verdict",
]

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Category = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
# Whether a text passes while a person has yet to look at it.
UnderReview = Literal["review", "hold"]

_CHECKED_ROLES = (Role.USER, Role.ASSISTANT, Role.TOOL, Role.DOCUMENT)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _as_verdict(value: object) -> object:
    """`EMAIL: mask` is short for `EMAIL: {action: mask}`."""
    return {"action": value} if isinstance(value, str) else value


class Verdict(_Section):
    """What becomes of which scores; what is left out is as one level up."""

    action: Treatment | None = None
    threshold: Fraction | None = None
    review_from: Fraction | None = None
    under_review: UnderReview | None = None


ByCategory = dict[Category, Annotated[Verdict, BeforeValidator(_as_verdict)]]


class RoleVerdict(Verdict):
    """What is different for one role."""

    categories: ByCategory = Field(default_factory=dict)


class DetectorEntry(_Section):
    """What to do with one detector's findings."""

    action: Treatment
    threshold: Fraction = 0.5
    review_from: Fraction | None = None
    under_review: UnderReview = "review"
    categories: ByCategory = Field(default_factory=dict)
    roles: tuple[Role, ...] = Field(_CHECKED_ROLES, min_length=1)
    by_role: dict[Role, Annotated[RoleVerdict, BeforeValidator(_as_verdict)]] = Field(
        default_factory=dict
    )
    on_failure: Literal["block", "allow"] = "block"
    timeout_s: float = Field(2.0, gt=0, le=60)
    overlap_chars: int = Field(64, ge=24, le=4096)


class DirectionSection(_Section):
    """What is checked in one direction; an empty section checks nothing, and says so."""

    buffer: Literal["settled", "whole"] = "settled"
    detectors: dict[Name, DetectorEntry] = Field(default_factory=dict)


class OutputSection(DirectionSection):
    """Answers can also get the values back that stand behind their placeholders."""

    restore: bool = False


class Purpose(_Section):
    """What a purpose may see: personal data of other categories is masked, whatever else holds."""

    sees: tuple[Category, ...] = ()


class Reviews(_Section):
    """What is kept of a case that waits for a person."""

    keep_text: bool = False
    ttl_hours: float = Field(168.0, gt=0, le=24 * 365)


class CustomRule(_Section):
    """A rule of your own; the rules of a policy form its detector `custom`."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]
    category: Category
    pattern: str = Field(min_length=1, max_length=2000)
    score: Fraction = 0.9


# A window may begin this much later, at the start of a word.
WORD_CHARS = 40


class Model(_Section):
    """A sequence classifier that judges under the name it stands under, like any detector."""

    runtime: Literal["onnx", "transformers"] = "onnx"
    path: str = Field("", max_length=4096)
    hub: Annotated[str, Field(pattern=r"^([\w.-]+/[\w.-]+)?$")] = ""
    revision: Annotated[str, Field(pattern=r"^([0-9a-f]{40})?$")] = ""
    file: Annotated[str, Field(pattern=r"^[\w-][\w./-]*$")] = "model.onnx"
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    labels: dict[Annotated[str, Field(min_length=1, max_length=128)], Category] = Field(
        min_length=1
    )
    scores: Literal["softmax", "sigmoid"] | None = None
    max_tokens: int = Field(512, ge=16, le=8192)
    stride_chars: int = Field(480, ge=40, le=8192)
    window_chars: int = Field(1000, ge=120, le=16424)
    threads: int = Field(1, ge=1, le=64)

    @model_validator(mode="after")
    def _comes_from_one_place(self) -> Self:
        if bool(self.path) == bool(self.hub):
            raise ValueError("name a folder under `path`, or a model under `hub`, and not both")
        if bool(self.hub) != bool(self.revision):
            raise ValueError("`hub` needs `revision`, the commit to take, and nothing else does")
        return self

    @model_validator(mode="after")
    def _judges_every_character(self) -> Self:
        if self.window_chars < 2 * self.stride_chars + WORD_CHARS:
            raise ValueError(
                f"`window_chars` must be at least twice `stride_chars` and {WORD_CHARS} more, "
                "or some text would be in no window"
            )
        return self


class PolicyDocument(_Section):
    """One policy file."""

    version: Literal[1]
    description: str = Field("", max_length=500)
    # The policy beside which this one runs on live traffic, without acting.
    shadow_of: Name | None = None
    input: DirectionSection
    output: OutputSection
    purposes: dict[Name, Purpose] = Field(default_factory=dict)
    reviews: Reviews = Field(default_factory=Reviews)
    rules: tuple[CustomRule, ...] = ()
    models: dict[Name, Model] = Field(default_factory=dict)

    def section(self, direction: Direction) -> DirectionSection:
        """The part of the policy for one direction."""
        return self.input if direction is Direction.INPUT else self.output

    @property
    def digest(self) -> str:
        """SHA-256 of the content in canonical form; layout, comments and defaults do not count."""
        content = self.model_dump(mode="json")
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()
