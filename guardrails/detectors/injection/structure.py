"""What is made for a model and not for a reader: markup, forged turns, asides, hidden text."""

from __future__ import annotations

from typing import Final

from guardrails.rules import Rule

__all__ = ["RAW_RULES", "RULES"]

_GAP: Final = r"[\s,;:*_\"'-]{1,6}"
_MACHINE: Final = (
    r"(?:ais?|a\.i\.|llms?|chat ?bots?|chatgpt|gpt|claude|gemini|copilot|language models?"
    r"|ai[ -](?:assistants?|models?|agents?|systems?|tools?|bots?|reviewers?|readers?|summari[sz]ers?"
    r"|crawlers?)|(?:assistants?|agents?|models?|bots?)(?= (?:reading|processing|summari[sz]ing"
    r"|parsing|analy[sz]ing|reviewing|that (?:reads?|process|summari|is reading))))"
)
_READING: Final = (
    r"(?:reading|processing|summari[sz]ing|parsing|analy[sz]ing|reviewing|handling|viewing|scanning"
    r"|indexing|translating)"
)
_ALL: Final = r"(?:(?:the|any|all|every|each|an?|whichever|future|other|our) ){0,2}"


def _rule(name: str, pattern: str, *, score: float = 0.9, hint: str | None = None) -> Rule:
    return Rule(
        id=f"injection.{name}", category="INJECTION", pattern=pattern, score=score, hint=hint
    )


# For text in the folded view.
RULES: Final = (
    _rule(
        "chat_markup",
        r"<\|(?:im_start|im_end|im_sep|system|user|assistant|endoftext|eot_id|eom_id|start_header_id"
        r"|end_header_id|begin_of_text|end_of_text|endofprompt|channel|python_tag|end_of_turn"
        r"|endofturn|startoftext)\|>"
        r"|<\|(?:user|assistant|system|begin.of.sentence|end.of.sentence)\|>"
        r"|\[/?inst\]|\[/?system_prompt\]|<</?sys>>|</?(?:start_of_turn|end_of_turn)>",
    ),
    _rule(
        "forged_turn",
        r"(?<![^\n])[ \t#*\[<(]{0,8}(?:system|developer|admin(?:istrator)?)"
        r"(?: (?:message|prompt|override|note|instruction|command))?[ \t*\]>)]{0,4}:[ \t*]{0,4}"
        r"(?:you (?:are|must|will|should|can)|ignore|disregard|forget|override|new|from now on"
        r"|the (?:user|assistant|previous|above)|all (?:previous|safety|prior))(?!\w)",
        score=0.85,
    ),
    _rule(
        "forged_border",
        r"[-=#*<\[]{2,20} ?(?:end of|begin|start of|new|end) (?:the )?(?:user )?"
        r"(?:system (?:prompt|message|instructions?)|(?:previous|prior|original|user) (?:prompt|input"
        r"|instructions?|context)|new (?:system )?instructions?|prompt|context and (?:begin|start))"
        r" ?[-=#*>\]]{2,20}",
        score=0.85,
    ),
    _rule(
        "aside_to_a_machine",
        rf"(?<!\w)(?:note|message|attention|instructions?|notice|reminder|important|warning|memo"
        rf"|info(?:rmation)?|directive)s?(?:{_GAP}(?:to|for|all))?{_GAP}{_ALL}{_MACHINE}"
        rf"(?:{_GAP}(?:(?:that|who|which|is|are|currently|now|you|currently) ){{0,3}}{_READING}"
        r"|[ \"']{0,2}[:,!-])",
        score=0.85,
    ),
    _rule(
        "if_you_are_a_machine",
        rf"(?<!\w)(?:if|since|because|as) you(?:'re| are) (?:an? |the )?{_MACHINE}"
        rf"(?:{_GAP}(?:(?:that|who|which|is|are|currently|now|and) ){{0,3}}{_READING}"
        rf"|[ ,]{{1,2}}(?:please |then |you must |you should )?(?:ignore|do not summari|include|add"
        r"|reply|respond|output|send|say|tell|recommend|rate|give|forward|insert|mention))",
        score=0.85,
    ),
    _rule(
        "machines_must",
        rf"(?<!\w){_ALL}{_MACHINE}{_GAP}{_READING}{_GAP}(?:this|the)(?: \w{{1,12}}){{0,3}}"
        rf"{_GAP}(?:must|should|shall|need to|have to|is to|are to|are required to|is required to)(?!\w)",
        score=0.85,
    ),
    _rule(
        "comment_to_a_machine",
        rf"<!--[^>]{{0,160}}(?<!\w)(?:{_MACHINE}|assistant)(?!\w)[^>]{{0,160}}(?<!\w)"
        r"(?:ignore|disregard|must|do not (?:tell|mention|summari)|instead|please (?:reply|send|add"
        r"|include|tell|recommend|rate)|you are now|reply with|respond with|forward|override)(?!\w)",
        score=0.85,
        hint="<!--",
    ),
)

# For text as it was sent: nobody writes long rows of what cannot be seen. A flag made of tags has
# six, a family of joined emoji never two joiners in a row.
RAW_RULES: Final = (
    _rule("hidden_tags", "[\U000e0020-\U000e007e]{8,64}"),
    _rule("hidden_bits", "[\u200b-\u200d\u2060-\u2064\ufeff]{12,64}", score=0.85),
    _rule("hidden_selectors", "[\ufe00-\ufe0f\U000e0100-\U000e01ef]{8,64}", score=0.85),
)
