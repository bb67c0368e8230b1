"""Language that is severe beyond doubt.

Covered, in English: threats to kill or maim a person addressed; urging a person to suicide;
calls to exterminate or expel groups of people by origin, religion, sex or disability; sexual
content about children; requests for working instructions to build mass-casualty weapons or to
carry out killings.
Not covered: insult, harassment, profanity, implied or coded hate, sexual content among adults,
other languages, satire. A word alone is never enough here, so that talk *about* these things
passes; a list of words cannot do better, which is what a classifier is for.
"""

from __future__ import annotations

from guardrails.normalise import FOLDED
from guardrails.rules import Rule

from .rules import RuleDetector

__all__ = ["detector"]

_GAP = r"[\s,;:*_\"'-]{1,4}"

_GROUPS = (
    r"jews|muslims|christians|hindus|sikhs|blacks|black people|whites|white people|asians|arabs"
    r"|immigrants|migrants|refugees|foreigners|mexicans|africans|gays|gay people|lesbians"
    r"|homosexuals|transgenders|trans people|trannies|women|disabled people|gypsies|roma|(?<=the )disabled"
    r"|fags|faggots|niggers|kikes|spics|chinks|sand ?niggers|wetbacks|ragheads"
)
_FINISH_OFF = (
    r"exterminated?|gassed|gas|eradicated?|wiped? out|slaughter(?:ed)?|lynch(?:ed)?|annihilated?"
    r"|genocided?|hanged|shot|killed|burned alive|put down"
)
_MINOR = (
    r"child(?:ren)?|kids?|minors?|toddlers?|preteens?|underage (?:girls?|boys?|teens?)"
    r"|(?:little|young) (?:girls?|boys?)|(?:[4-9]|1[0-5])[ -]?(?:years?|yrs?)[ -]?olds?"
)


def detector() -> RuleDetector:
    """The first tier of moderation."""
    return RuleDetector("moderation", _RULES, view=FOLDED, timed=False)


def _rule(category: str, name: str, pattern: str, *, score: float = 0.9) -> Rule:
    return Rule(
        id=f"moderation.{name}",
        category=category,
        pattern=rf"(?<!\w)(?:{pattern})(?!\w)",
        score=score,
    )


_RULES = (
    _rule(
        "VIOLENCE",
        "threat",
        rf"(?:i|we)(?:{_GAP}am|{_GAP}are|'m|'re)?(?:'ll|{_GAP}will|{_GAP}gonna"
        rf"|{_GAP}going to|{_GAP}want to|{_GAP}swear i(?:'ll| will)){_GAP}"
        rf"(?:kill|murder|butcher|stab|shoot|strangle|behead|slaughter){_GAP}"
        rf"(?:you(?!r)(?! (?:with|an email|a message|at|guys if))|your (?:family|wife|husband|children"
        rf"|kids|mother|father|mum|mom))",
        score=0.85,
    ),
    _rule(
        "SELF_HARM",
        "urging",
        rf"(?:you should|you need to|just|please|go|why don'?t you){_GAP}"
        rf"(?:(?:go|and|just|ahead){_GAP}){{0,3}}(?:kill yourself|end your (?:own )?life"
        rf"|hang yourself|slit your wrists|commit suicide)|kys",
    ),
    _rule(
        "HATE",
        "call",
        rf"(?:{_GROUPS}){_GAP}"
        rf"(?:should|must|need to|deserve to|have to|ought to){_GAP}(?:(?:all|just|be){_GAP}){{0,3}}"
        rf"(?:{_FINISH_OFF}|die)",
    ),
    _rule(
        "HATE",
        "order",
        rf"(?:let'?s|we (?:should|must|need to|have to)|go|time to){_GAP}"
        rf"(?:kill|gas|exterminate|lynch|eradicate|slaughter|wipe out|burn){_GAP}"
        rf"(?:(?:all|the|every|of|those|these){_GAP}){{1,4}}(?:{_GROUPS})",
    ),
    _rule(
        "SEXUAL_MINORS",
        "minors",
        rf"(?:(?:sexual|erotic|pornographic|nude|naked|explicit|sexy){_GAP}"
        rf"(?:(?:story|stories|images?|pictures?|photos?|videos?|content|scenes?|fantasy|of|about|with"
        rf"|involving|featuring|an?|the){_GAP}){{1,6}}(?:{_MINOR})"
        rf"|(?:child|kiddie|underage|preteen){_GAP}(?:porn(?:ography)?|erotica))",
    ),
    _rule(
        "ILLICIT",
        "weapons",
        rf"(?:how (?:do i|to|can i|do you|would i|could i)|instructions (?:for|to|on)|steps to|guide to"
        rf"|recipe for|tell me how to|teach me to){_GAP}(?:(?:a|an|the|step by step|safely|i|to){_GAP})"
        rf"{{0,3}}(?:make|build|construct|synthesi[sz]e|assemble|create|produce|making|building|cook)"
        rf"{_GAP}(?:(?:a|an|my own|some|the|homemade|improvised|working|at home){_GAP}){{0,4}}"
        rf"(?:pipe ?bombs?|nail ?bombs?|car ?bombs?|dirty bombs?|bombs?(?! (?:shelter|calorimeter|cyclone))"
        rf"|explosive devices?|ied|nerve (?:agent|gas)|sarin|vx gas|mustard gas|ricin|anthrax"
        rf"|chemical weapons?|biological weapons?|bioweapons?|meth(?:amphetamine)?)",
        score=0.85,
    ),
    _rule(
        "ILLICIT",
        "killing",
        rf"(?:how (?:do i|to|can i|could i|would i)|best way to|tell me how to){_GAP}"
        rf"(?:kill|murder|poison|assassinate){_GAP}(?:(?:and|get away with|killing){_GAP}){{0,4}}"
        rf"(?:my (?:wife|husband|girlfriend|boyfriend|neighbou?r|boss|parents?|mother|father|roommate"
        rf"|coworker|ex)|someone|somebody|a (?:person|man|woman|child|human)|people)",
        score=0.85,
    ),
)
