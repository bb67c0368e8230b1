"""Attacks in English."""

from __future__ import annotations

from guardrails.rules import Rule

from .quoting import CLOSED, OPENED, is_said

__all__ = ["RULES"]

# Between two words of a phrase: spaces, line ends, light punctuation.
_GAP = r"[\s,;:*_\"'-]{1,6}"

_DISREGARD = (
    "ignore|disregard|forget|override|bypass|neglect|abandon|drop|discard|skip|"
    "do not follow|don'?t follow|stop following|pay no attention to"
)
_EARLIER = (
    "previous|prior|above|earlier|preceding|foregoing|existing|initial|original|current|"
    "system|developer|safety|aforementioned|past|former|these|those|your|any|all|the|of|and|"
    "other|set|list|entire|every|given|you(?:'?ve| have)? (?:been given|received|got)"
)
_ORDERS = (
    "instructions?|directions?|directives?|guidelines?|rules|prompts?|programming|constraints|"
    "restrictions|commands?|orders|policies|training|context|guardrails|safeguards|filters?"
)


# Words before an order that make it none, or one that somebody else is said to give.
_NOT_SAID = (
    r"(?<!(?:don't|not|never|cannot|can't|won't|without) )"
    r"(?<!(?:bot|model|ai|assistant|llm|it|them|chatgpt|chatbot|agent) to )"
)


def _rule(name: str, pattern: str, *, score: float = 0.9) -> Rule:
    return Rule(
        id=f"injection.{name}",
        category="INJECTION",
        pattern=rf"(?<!\w)(?:{pattern})(?!\w)",
        score=score,
    )


def _order(name: str, pattern: str, *, score: float = 0.9) -> Rule:
    """An order that can also be forbidden, reported or quoted."""
    return Rule(
        id=f"injection.{name}",
        category="INJECTION",
        pattern=rf"{_NOT_SAID}(?<!\w){OPENED}(?:{pattern})(?!\w){CLOSED}",
        accept=is_said,
        score=score,
    )


RULES = (
    _order(
        "override",
        rf"(?:{_DISREGARD}){_GAP}(?:(?:{_EARLIER}){_GAP}){{1,6}}(?:{_ORDERS})",
    ),
    _order(
        "override_everything",
        rf"(?:ignore|disregard|forget){_GAP}(?:everything|anything|all|whatever){_GAP}"
        rf"(?:(?:that|which|was|is|has|have|been|i|we|you|they|were|are|ve){_GAP}){{0,4}}"
        r"(?:above|before(?! (?:noon|lunch|dinner))|said|told|instructed|written|prior|learned)",
    ),
    _order(
        "reveal_prompt",
        r"(?:reveal|show|print|repeat|output|display|leak|disclose|expose|dump|recite|tell"
        rf"|give|write(?: out)?){_GAP}"
        rf"(?:(?:me|us|back|out|to|the|your|all|of|full|entire|exact|complete|hidden|secret){_GAP})"
        rf"{{1,6}}(?:system{_GAP}(?:prompt|message|instructions)|initial{_GAP}(?:prompt|instructions)"
        rf"|(?:hidden|secret|developer|internal|confidential){_GAP}(?:prompt|instructions|message))",
    ),
    _order(
        "repeat_above",
        rf"(?:repeat|print|output|return|copy){_GAP}(?:(?:all|the|everything|every|words?|text|of"
        rf"|your|exactly|back|verbatim){_GAP}){{1,6}}(?:above|before this|preceding)"
        rf"{_GAP}(?:this|starting|beginning|verbatim|in a code|inside|in full)",
        score=0.85,
    ),
    _rule(
        "no_restrictions",
        r"(?:you are|you're|act as|pretend (?:to be|you are)|respond as|behave as|become|be)"
        rf"{_GAP}(?:(?:now|an?|going to be|completely|totally|the|ai|model|assistant|chatbot|bot|that"
        rf"|which|who|is|has|have|with){_GAP}){{0,8}}"
        r"(?:unrestricted|unfiltered|uncensored|jailbroken|freed? from all (?:rules|restrictions)"
        r"|(?:without|no) (?:any )?(?:restrictions|filters?|limitations|rules|censorship"
        r"|moral|ethical)[\w ]{0,24})",
    ),
    _rule(
        "persona",
        r"(?:do anything now|stay in (?:dan|character) mode|(?:dan|developer|jailbreak|god|evil"
        r"|unrestricted|sudo|debug) mode (?:is )?(?:now )?(?:enabled|activated|on)"
        r"|(?:enable|activate|enter|switch to) (?:dan|developer|jailbreak|god|unrestricted|sudo) mode"
        r"|(?:you are|act as|acting as|from) (?:now )?(?:dan|stan|dude|aim|devil ?gpt|evil ?bot"
        r"|chaos ?gpt))",
    ),
    _order(
        "switch_off_safety",
        rf"(?:disable|turn off|switch off|deactivate|remove|circumvent|bypass|evade){_GAP}"
        rf"(?:(?:all|your|the|any|of|its|content|safety|ethical|moral|openai|built-in){_GAP}){{1,5}}"
        r"(?:filters?|guidelines|restrictions|safeguards|guardrails|protocols|safety (?:checks|features)"
        r"|ethics|limitations|censorship)",
        score=0.85,
    ),
    _order(
        "new_instructions",
        r"(?:new|updated|revised|real|actual|important|urgent) (?:system )?"
        r"(?:instructions?|directives?|task|orders) ?(?:for (?:the )?(?:ai|assistant|model|llm|you)"
        r"|to (?:the )?(?:ai|assistant|model|llm)|(?:override|supersede|replace)s?)",
    ),
)
