"""Placeholders, the vault, and restoring what a model made of placeholders."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.detectors import builtin
from guardrails.findings import Direction, Role
from guardrails.pipeline.checking import Checker
from guardrails.policy import PolicyStore
from guardrails.pseudonyms import MemoryVault, Placeholders, Restorer, Scope, VaultConflict
from guardrails.window.surroundings import Surroundings, Text

SECRET = b"a secret of the test"
HERE = Scope(tenant="acme", conversation_id="c1")

VALUES = {
    "[EMAIL_K7Q2X4]": "jo@example.com",
    "[CREDIT_CARD_0M5Z8T]": "4111 1111 1111 1111",
    "[PHONE_A1B2C3]": "+49 30 901820",
    "[PHONE_X9Y8Z7]": "+49 30 901821",
}

MANGLINGS = {
    "as it is": ("Mail [EMAIL_K7Q2X4].", "Mail jo@example.com."),
    "lower case": ("[email_k7q2x4]", "jo@example.com"),
    "mixed case": ("[Email_K7q2x4]", "jo@example.com"),
    "no brackets": ("to EMAIL_K7Q2X4 now", "to jo@example.com now"),
    "no brackets, lower": ("to email_k7q2x4 now", "to jo@example.com now"),
    "angle brackets": ("<EMAIL_K7Q2X4>", "jo@example.com"),
    "round brackets": ("(EMAIL_K7Q2X4)", "jo@example.com"),
    "curly brackets": ("{EMAIL_K7Q2X4}", "jo@example.com"),
    "double brackets": ("[[EMAIL_K7Q2X4]]", "jo@example.com"),
    "spaces inside": ("[ EMAIL_K7Q2X4 ]", "jo@example.com"),
    "space for underscore": ("[EMAIL K7Q2X4]", "jo@example.com"),
    "hyphen for underscore": ("[EMAIL-K7Q2X4]", "jo@example.com"),
    "colon for underscore": ("[EMAIL: K7Q2X4]", "jo@example.com"),
    "nothing for underscore": ("[EMAILK7Q2X4]", "jo@example.com"),
    "escaped underscore": (r"[EMAIL\_K7Q2X4]", "jo@example.com"),
    "plural": ("[EMAILS_K7Q2X4]", "jo@example.com"),
    "possessive": ("[EMAIL_K7Q2X4]'s", "jo@example.com's"),
    "bold": ("**[EMAIL_K7Q2X4]**", "**jo@example.com**"),
    "code": ("`[EMAIL_K7Q2X4]`", "`jo@example.com`"),
    "quoted": ('"[EMAIL_K7Q2X4]"', '"jo@example.com"'),
    "bracket not closed": ("[EMAIL_K7Q2X4 and", "[jo@example.com and"),
    "bracket not opened": ("EMAIL_K7Q2X4] and", "jo@example.com] and"),
    "code left out": ("[EMAIL]", "jo@example.com"),
    "code left out after underscore": ("[EMAIL_]", "jo@example.com"),
    "end of the code missing": ("[EMAIL_K7Q2X]", "jo@example.com"),
    "half the code missing": ("[EMAIL_K7Q2]", "jo@example.com"),
    "O for zero": ("[CREDIT_CARD_OM5Z8T]", "4111 1111 1111 1111"),
    "two words": ("[CREDIT CARD 0M5Z8T]", "4111 1111 1111 1111"),
    "two words run together": ("[CreditCard_0M5Z8T]", "4111 1111 1111 1111"),
    "twice": ("[EMAIL_K7Q2X4], [EMAIL_K7Q2X4]", "jo@example.com, jo@example.com"),
    "two in a row": ("[EMAIL_K7Q2X4][PHONE_A1B2C3]", "jo@example.com+49 30 901820"),
    "end of a sentence": ("Call PHONE_X9Y8Z7.", "Call +49 30 901821."),
}
UNTOUCHED = {
    "another code": "[EMAIL_ZZZZZZ]",
    "another category": "[IBAN_K7Q2X4]",
    "one of two": "[PHONE]",
    "the word": "your email address",
    "the word and a number": "Email 12 people",
    "a longer word": "emailing K7Q2X4",
    "part of an identifier": "my_EMAIL_K7Q2X4Y",
}


def restore(text, cuts=()):
    restorer = Restorer(VALUES)
    edges = [0, *sorted({at % (len(text) + 1) for at in cuts}), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(edges)]
    return "".join(map(restorer.push, pieces)) + restorer.flush()


@pytest.mark.parametrize(("mangled", "restored"), MANGLINGS.values(), ids=MANGLINGS)
def test_a_mangled_placeholder_is_restored(mangled, restored):
    """Models copy placeholders loosely; each usual way leads back to the value."""
    assert restore(mangled) == restored


@pytest.mark.parametrize("text", UNTOUCHED.values(), ids=UNTOUCHED)
def test_what_does_not_lead_to_exactly_one_value_stays(text):
    """Nothing is guessed."""
    assert restore(text) == text


@given(
    parts=st.lists(
        st.sampled_from(
            [text for text, _ in MANGLINGS.values()]
            + [*UNTOUCHED.values(), " ", "[", "E", "EMAIL", "_", "]", "PHONE_", "and "]
        ),
        max_size=8,
    ),
    cuts=st.lists(st.integers(0, 1000), max_size=20),
)
@settings(max_examples=200)
def test_a_stream_is_restored_as_the_whole_text_is(parts, cuts):
    """However the text is cut, the same values come back in the same places."""
    text = "".join(parts)
    assert restore(text, cuts) == restore(text)


def test_a_value_has_one_placeholder_in_its_conversation_and_another_elsewhere():
    """Stable within a scope; tenant and conversation each change it."""
    scopes = [
        HERE,
        Scope(tenant="acme", conversation_id="c2"),
        Scope(tenant="other", conversation_id="c1"),
        Scope(tenant="acmec", conversation_id="1"),
    ]
    made = [
        Placeholders(secret=SECRET, scope=scope).replace("EMAIL", "jo@example.com")
        for scope in [*scopes, HERE]
    ]
    assert made[0] == made[-1]
    assert len(set(made)) == len(scopes)


async def test_the_vault_forgets_a_scope_after_its_time():
    """The clock decides; each use of the scope prolongs it."""
    now = [0.0]
    vault = MemoryVault(ttl_s=10, clock=lambda: now[0])
    await vault.keep(HERE, {"[A_1]": "a"})
    now[0] = 9.0
    await vault.keep(HERE, {"[B_1]": "b"})
    now[0] = 18.0
    assert await vault.values(HERE) == {"[A_1]": "a", "[B_1]": "b"}
    now[0] = 19.5
    assert await vault.values(HERE) == {}


async def test_two_values_never_share_a_placeholder():
    """A clash is refused rather than restored wrongly."""
    vault = MemoryVault(ttl_s=10)
    await vault.keep(HERE, {"[A_1]": "a"})
    with pytest.raises(VaultConflict):
        await vault.keep(HERE, {"[A_1]": "b"})


@pytest.fixture
def pseudonymizing(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "version: 1\n"
        "input: {detectors: {pii: {action: pseudonymize, categories: {IP_ADDRESS: hash}}}}\n"
        "output: {restore: true, detectors: {pii: {action: mask}}}\n"
        "purposes: {billing: {sees: [CREDIT_CARD]}}\n"
    )
    store = PolicyStore(
        folder=tmp_path, default_name="mine", detectors={each.name: each for each in builtin()}
    )
    return store.get("")


def checker():
    return Checker(vault=MemoryVault(ttl_s=60), secret=SECRET)


async def ask(guard, policy, text, direction=Direction.INPUT, **around):
    role = Role.USER if direction is Direction.INPUT else Role.ASSISTANT
    surroundings = Surroundings(**({"conversation_id": "c1"} | around))
    checked = await guard.check(
        policy, Text(role=role, text=text), direction=direction, surroundings=surroundings
    )
    return checked.text


async def test_a_value_goes_round_without_the_model_seeing_it(pseudonymizing):
    """Pseudonymised on the way in, restored on the way out, never masked again."""
    guard = checker()
    asked = await ask(guard, pseudonymizing, "Write to jo@example.com and a@b.org.")
    assert "@" not in asked
    answer = asked.replace("Write", "I wrote").replace("[", "").replace("]", "")
    answered = await ask(guard, pseudonymizing, answer, Direction.OUTPUT)
    assert answered == "I wrote to jo@example.com and a@b.org."


async def test_an_address_that_the_model_made_up_is_masked_and_not_restored(pseudonymizing):
    """What the policy writes is no placeholder, even where the conversation has just one value."""
    guard = checker()
    await ask(guard, pseudonymizing, "Write to jo@example.com.")
    answered = await ask(guard, pseudonymizing, "Try [EMAIL] or x@y.org.", Direction.OUTPUT)
    assert answered == "Try jo@example.com or [EMAIL]."


@pytest.mark.parametrize(
    "around", [{"tenant": "other"}, {"conversation_id": "c2"}], ids=["tenant", "conversation"]
)
async def test_nothing_is_restored_elsewhere(pseudonymizing, around):
    """Another tenant's or conversation's placeholder stays as it is."""
    guard = checker()
    asked = await ask(guard, pseudonymizing, "Write to jo@example.com.")
    assert await ask(guard, pseudonymizing, asked, Direction.OUTPUT, **around) == asked


async def test_without_a_conversation_a_pseudonym_is_a_mask(pseudonymizing):
    """Nothing could ever be restored, so nothing is kept."""
    assert await ask(checker(), pseudonymizing, "jo@example.com", conversation_id="") == "[EMAIL]"


async def test_a_hash_tells_equal_values_and_no_tenants_apart(pseudonymizing):
    """The same value gives the same hash for a tenant and another for the next."""
    guard = checker()
    one = await ask(guard, pseudonymizing, "from 10.1.2.3", tenant="a")
    same = await ask(guard, pseudonymizing, "from 10.1.2.3", tenant="a", conversation_id="c9")
    other = await ask(guard, pseudonymizing, "from 10.1.2.3", tenant="b")
    assert one.startswith("from [IP_ADDRESS:")
    assert one == same != other


async def test_a_purpose_can_only_see_less(tmp_path):
    """What a purpose does not need is masked; what the policy hides stays hidden."""
    (tmp_path / "mine.yaml").write_text(
        "version: 1\n"
        "input: {detectors: {pii: {action: allow, categories: {CREDIT_CARD: mask}}}}\n"
        "output: {}\n"
        "purposes: {mailing: {sees: [EMAIL, CREDIT_CARD]}}\n"
    )
    known = {each.name: each for each in builtin()}
    policy = PolicyStore(folder=tmp_path, default_name="mine", detectors=known).get("")
    text = "jo@example.com 10.1.2.3 4111111111111111"
    guard = Checker(clock=time.monotonic)
    assert await ask(guard, policy, text) == "jo@example.com 10.1.2.3 [CREDIT_CARD]"
    seen = await ask(guard, policy, text, purpose="mailing")
    assert seen == "jo@example.com [IP_ADDRESS] [CREDIT_CARD]"
