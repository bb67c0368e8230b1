"""What a request must look like before any work is done for it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.answer import Message, Request, Role
from servicekit.errors import InvalidArgument, NotFound, PermissionDenied, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.identity.caller import Caller

__all__ = ["Admission"]

_ROLES = ", ".join(f"ROLE_{role.name}" for role in Role)
_ROLE_NUMBERS = frozenset(role.value for role in Role)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Turns what came over the wire into a request, or says what is wrong with it."""

    policies: tuple[str, ...]
    max_prompt_chars: int
    max_messages: int
    # What an empty model name means for permission.
    default_model: str = ""

    def admit(  # noqa: PLR0913 - each is a field of the request
        self,
        caller: Caller,
        *,
        model: str,
        messages: Sequence[tuple[int, str]],
        sampling: bytes = b"",
        policy: str = "",
        conversation_id: str | None = None,
        streamed: bool = False,
        max_new_tokens: int | None = None,
        deterministic: bool = False,
        with_logprobs: bool = False,
    ) -> Request:
        """The request, named and assigned to a tenant.

        Raises:
            InvalidArgument: with every violation of the messages.
            NotFound: the policy is not open to this caller.
            PermissionDenied: the model is not.
        """
        if not caller.may_use(model or self.default_model):
            raise PermissionDenied(reason="MODEL_NOT_ALLOWED")
        violations = list(self._violations(messages))
        if violations:
            raise InvalidArgument(violations)
        return Request(
            request_id=f"req-{secrets.token_hex(12)}",
            tenant=caller.tenant,
            terms=caller.terms,
            models=caller.models,
            model=model,
            messages=tuple(Message(role=Role(role), text=text) for role, text in messages),
            policy=_policy(policy, caller.policies or self.policies),
            conversation_id=conversation_id,
            sampling=sampling,
            streamed=streamed,
            max_new_tokens=max_new_tokens,
            deterministic=deterministic,
            with_logprobs=with_logprobs,
        )

    def _violations(self, messages: Sequence[tuple[int, str]]) -> Iterator[Violation]:
        if not messages:
            yield Violation("messages", "must not be empty; send at least one message")
        if len(messages) > self.max_messages:
            rule = f"has {len(messages)} entries; send at most {self.max_messages}"
            yield Violation("messages", rule)
            return
        room = self.max_prompt_chars
        for index, (role, text) in enumerate(messages):
            if role not in _ROLE_NUMBERS:
                yield Violation(f"messages[{index}].role", f"must be one of {_ROLES}")
            if not text:
                yield Violation(f"messages[{index}].text", "must not be empty; leave it out")
            if len(text) > room:
                rule = (
                    f"takes the prompt over {self.max_prompt_chars} characters in all; shorten it"
                )
                yield Violation(f"messages[{index}].text", rule)
                return
            room -= len(text)


def _policy(name: str, opened: tuple[str, ...]) -> str:
    if not name:
        return opened[0]
    if name not in opened:
        raise NotFound(
            "There is no such policy, or it is not open to callers.",
            reason="POLICY_NOT_FOUND",
            violations=[Violation("policy", "name a policy that is open to you, or none")],
        )
    return name
