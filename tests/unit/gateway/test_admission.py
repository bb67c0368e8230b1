"""What a request must look like."""

from __future__ import annotations

import pytest

from gateway.admission import Admission
from gateway.answer import Role
from gateway.identity.caller import Caller
from servicekit.errors import InvalidArgument, NotFound

CALLER = Caller(tenant="t")
ADMISSION = Admission(policies=("default", "strict"), max_prompt_chars=20, max_messages=3)


@pytest.mark.parametrize(
    ("messages", "fields"),
    [
        pytest.param([], ["messages"], id="no messages"),
        pytest.param([(0, "hi")], ["messages[0].role"], id="role not set"),
        pytest.param([(99, "hi")], ["messages[0].role"], id="role unknown"),
        pytest.param([(2, "")], ["messages[0].text"], id="text empty"),
        pytest.param([(2, "x" * 21)], ["messages[0].text"], id="text too long"),
        pytest.param([(2, "x" * 12), (2, "x" * 12)], ["messages[1].text"], id="too long together"),
        pytest.param([(2, "a")] * 4, ["messages"], id="too many messages"),
        pytest.param(
            [(0, ""), (2, "ok"), (7, "")],
            ["messages[0].role", "messages[0].text", "messages[2].role", "messages[2].text"],
            id="every mistake at once",
        ),
    ],
)
def test_a_wrong_message_is_named(messages: list[tuple[int, str]], fields: list[str]) -> None:
    """Each violation names the field; all are reported together."""
    with pytest.raises(InvalidArgument) as refusal:
        ADMISSION.admit(CALLER, model="", messages=messages)

    assert fields == [violation.field for violation in refusal.value.violations]


def test_a_policy_that_is_not_open_is_unknown() -> None:
    """Callers choose among the policies that the gateway opens to them, and no others."""
    with pytest.raises(NotFound) as refusal:
        ADMISSION.admit(CALLER, model="", messages=[(2, "hi")], policy="internal")

    assert "POLICY_NOT_FOUND" == refusal.value.reason
    assert ["policy"] == [violation.field for violation in refusal.value.violations]


@pytest.mark.parametrize(("asked", "applied"), [("", "default"), ("strict", "strict")])
def test_the_first_policy_applies_unless_another_is_named(asked: str, applied: str) -> None:
    """An empty name is the default, never no policy."""
    request = ADMISSION.admit(CALLER, model="", messages=[(2, "hi")], policy=asked)

    assert applied == request.policy


def test_requests_have_names_of_their_own() -> None:
    """Two requests never share a name."""
    first, second = (ADMISSION.admit(CALLER, model="m", messages=[(2, "hi")]) for _ in range(2))

    assert first.request_id != second.request_id
    assert (first.messages[0].role, first.messages[0].text) == (Role.USER, "hi")
