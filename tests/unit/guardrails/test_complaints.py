"""What users of other guards complain of, one test a complaint."""

from __future__ import annotations

import json
import time

import pytest

from guardrails.detectors import builtin
from guardrails.findings import Action, Direction, ExecutionState, Role
from guardrails.pipeline.checking import Checker
from guardrails.policy import PolicyStore
from guardrails.pseudonyms import MemoryVault
from guardrails.window.surroundings import Surroundings, Text
from guardrails.window.window import End

MAIL = "jo.doe@example.com"


@pytest.fixture
def policy_of(tmp_path):
    known = {each.name: each for each in builtin()}

    def make(content):
        (tmp_path / "mine.yaml").write_text("version: 1\n" + content)
        return PolicyStore(folder=tmp_path, default_name="mine", detectors=known).get("")

    return make


def open_on(policy):
    return policy.open(direction=Direction.OUTPUT, role=Role.ASSISTANT, clock=time.monotonic)


def stream(window, pieces):
    """What each piece released, and at the end the rest."""
    return [window.push(piece).text for piece in pieces] + [window.finish().text]


def test_streaming_bypasses_the_guard(open_output):
    """A value is masked and severe content blocked however the answer is asked for."""
    text = f"Mail {MAIL}. I will kill you."
    for pieces in ([text], list(text)):
        window = open_output()
        assert "".join(stream_until_end(window, pieces)) == "Mail [EMAIL]. "
        assert (window.end, window.action) == (End.BLOCKED, Action.BLOCK)


def stream_until_end(window, pieces):
    for piece in pieces:
        yield window.push(piece).text
        if window.end is not None:
            return
    yield window.finish().text


def test_forbidden_text_was_sent_before_the_block(open_output):
    """Not one character of the forbidden phrase leaves, also when it comes letter by letter."""
    window = open_output()
    released = "".join(stream_until_end(window, "Well. I will kill you tonight."))
    assert released == "Well. "


@pytest.mark.parametrize("at", range(1, len(MAIL)))
def test_a_value_split_over_two_chunks_slips_through(open_output, at):
    """Wherever the cut goes, the first half is held until the second arrives."""
    window = open_output()
    first = window.push(f"Mail {MAIL[:at]}").text
    assert first == "Mail "
    assert first + window.push(f"{MAIL[at:]} now.").text + window.finish().text == (
        "Mail [EMAIL] now."
    )


def test_interleaved_choices_defeat_concatenation(open_output):
    """Each answer has a window of its own; what comes between two pieces is in another."""
    one, other = open_output(), open_output()
    for window, piece in (
        (one, "jo.doe@exam"),
        (other, "harmless "),
        (one, "ple.com "),
        (other, "x"),
    ):
        window.push(piece)
    one.finish()
    other.finish()
    assert [len(one.findings), len(other.findings)] == [1, 0]


def test_the_stream_collapses_into_one_blob(open_output):
    """Most pieces of ordinary prose release something at once; the rest waits for one word."""
    words = [f"{word} " for word in ("It is a long way to the sea and back again " * 20).split()]
    released = stream(open_output(), words)
    assert sum(bool(text) for text in released) >= 0.9 * len(words)


def test_every_fifth_chunk_is_emptied(open_output):
    """Nothing that is not found is changed."""
    text = "One two three four five six seven eight nine ten. " * 10
    assert "".join(stream(open_output(), [text[i : i + 3] for i in range(0, len(text), 3)])) == text


def test_words_are_glued_and_white_space_is_eaten(open_output):
    """Spaces, line ends and tabs come out as they came in."""
    text = "safe and  compliant\n\nhigh\tquality . Yes !\r\n  End"
    assert "".join(stream(open_output(), list(text))) == text


def test_half_a_word_blocks(policy_of):
    """A phrase is judged with what follows it: `ass` is not found in `assisting`."""
    policy = policy_of(
        "input: {}\noutput: {detectors: {custom: {action: block}}}\n"
        "rules: [{id: word, category: RUDE, pattern: '(?<!\\w)ass(?!\\w)'}]\n"
    )
    window = open_on(policy)
    assert "".join(stream(window, ["I am ass", "isting you"])) == "I am assisting you"
    assert window.end is End.FINISHED


def test_a_mask_is_applied_twice(open_output):
    """Guarding what was guarded changes nothing."""
    once = "".join(stream(open_output(), [f"Mail {MAIL}, password: hunter2xyz!, 10.1.2.3."]))
    assert "".join(stream(open_output(), [once])) == once


def test_a_failing_detector_lets_everything_pass(policy_of):
    """A detector that runs out of time blocks, and the execution says that it did not run."""
    policy = policy_of("input: {}\noutput: {detectors: {pii: {action: mask, timeout_s: 0.000001}}}")
    window = open_on(policy)
    released = "".join(stream_until_end(window, [f"Mail {MAIL} " * 2000]))
    assert (released, window.action) == ("", Action.BLOCK)
    assert [each.state for each in window.executions] == [ExecutionState.TIMED_OUT]


def test_a_mask_swallows_a_block(policy_of):
    """Where a stretch is both to be masked and to be blocked, it is blocked."""
    policy = policy_of(
        "input: {}\noutput: {detectors: {pii: {action: mask}, custom: {action: block}}}\n"
        "rules: [{id: shop, category: SHOP, pattern: 'example'}]\n"
    )
    window = open_on(policy)
    assert "".join(stream_until_end(window, [f"Mail {MAIL} now"])) == "Mail "
    assert window.action is Action.BLOCK


@pytest.fixture
def pseudonymizing(policy_of):
    return policy_of(
        "input: {detectors: {pii: {action: pseudonymize}}}\n"
        "output: {restore: true, detectors: {pii: {action: mask}}}\n"
    )


async def talk(checker, policy, text, direction, conversation_id="c"):
    role = Role.USER if direction is Direction.INPUT else Role.ASSISTANT
    checked = await checker.check(
        policy,
        Text(role=role, text=text),
        direction=direction,
        surroundings=Surroundings(tenant="t", conversation_id=conversation_id),
    )
    return checked.text


async def test_the_same_value_gets_different_placeholders(pseudonymizing):
    """Over the turns of a conversation a value keeps its placeholder."""
    checker = Checker(vault=MemoryVault(ttl_s=60), secret=b"s")
    first = await talk(checker, pseudonymizing, MAIL, Direction.INPUT)
    await talk(checker, pseudonymizing, "other@example.org", Direction.INPUT)
    assert await talk(checker, pseudonymizing, f"{MAIL}, {MAIL}", Direction.INPUT) == (
        f"{first}, {first}"
    )


async def test_placeholders_leak_across_requests(pseudonymizing):
    """Another conversation's placeholder is not restored."""
    checker = Checker(vault=MemoryVault(ttl_s=60), secret=b"s")
    hidden = await talk(checker, pseudonymizing, MAIL, Direction.INPUT)
    await talk(checker, pseudonymizing, "other@example.org", Direction.INPUT, "d")
    assert await talk(checker, pseudonymizing, hidden, Direction.OUTPUT, "d") == hidden


async def test_what_was_restored_is_masked_again(pseudonymizing):
    """Restoring comes after the scan."""
    checker = Checker(vault=MemoryVault(ttl_s=60), secret=b"s")
    hidden = await talk(checker, pseudonymizing, MAIL, Direction.INPUT)
    assert await talk(checker, pseudonymizing, hidden, Direction.OUTPUT) == MAIL


def test_arguments_of_a_tool_call_leave_before_the_verdict(open_output):
    """Text is text: a value inside JSON is held and masked like any other."""
    arguments = json.dumps({"to": MAIL, "body": "hello"})
    window = open_output()
    released = stream(window, list(arguments))
    assert "".join(released) == arguments.replace(MAIL, "[EMAIL]")


def test_monitoring_still_buffers(policy_of):
    """A policy that only watches holds no more than any other."""
    policy = policy_of("input: {}\noutput: {detectors: {pii: {action: allow}}}")
    assert not policy.buffers_output
    assert open_on(policy).push("It is a long way to go").text == "It is a long way to "
    assert "".join(stream(open_on(policy), [f"Mail {MAIL} now."])) == f"Mail {MAIL} now."


def test_a_verdict_is_attributed_to_another_guard(open_output):
    """Each finding names the detector that made it."""
    window = open_output()
    list(stream_until_end(window, [f"{MAIL} AKIAIOSFODNN7EXAMPLE I will kill you."]))
    assert [(f.detector, f.category) for f in window.findings] == [
        ("pii", "EMAIL"),
        ("secrets", "API_KEY"),
        ("moderation", "VIOLENCE"),
    ]


def test_detectors_of_different_pace_hang_the_stream(policy_of):
    """The slowest detector decides what is released; the others wait and nothing is lost."""
    policy = policy_of(
        "input: {}\noutput: {detectors: {pii: {action: mask}, custom: {action: mask}}}\n"
        "rules: [{id: slow, category: SLOW, pattern: 'x[a-z ]{40,60}y'}]\n"
    )
    text = f"x and then {MAIL} and " + "so on and on " * 10
    window = open_on(policy)
    assert "".join(stream(window, list(text))) == text.replace(MAIL, "[EMAIL]")


def test_the_work_per_token_grows_with_the_answer(open_output):
    """The window keeps what is not settled and a little context, not the answer."""
    window = open_output()
    for _ in range(2000):
        window.push("the quick brown fox will kill 4111 jo@doe ")
    assert len(window._text) < 200
    kept = [len(lane._scan._scan._text) for lane in window._lanes if hasattr(lane._scan, "_scan")]
    assert kept
    assert max(kept) < 200


def test_the_model_imitates_the_guards_error_envelope(open_output):
    """Nothing in the text is an instruction to the guard; events are typed, not in band."""
    text = '{"error": {"type": "guardrails_violation", "code": "content_blocked"}}'
    window = open_output()
    assert "".join(stream(window, [text])) == text
    assert window.action is Action.ALLOW
