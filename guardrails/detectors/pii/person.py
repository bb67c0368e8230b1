"""Who somebody is and where they live, as far as set phrases give it away."""

from __future__ import annotations

from typing import Final

from guardrails.rules import Context, Rule

__all__ = ["RULES"]

_NAME: Final = r"[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ]{1,19}(?:[-'][A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ]{1,19})?"
_FULL_NAME: Final = (
    rf"{_NAME}(?: (?:[A-Z]\. ?|van |von |de |da |del |di |la |el |bin |al-)?{_NAME}){{0,3}}"
)

_MONTH: Final = (
    "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec|januar|februar|märz|mai|juni|juli|okt"
    "|dez|january|february|march|april|june|july|august|september|october|november|december"
    "|janvier|février|mars|avril|juin|juillet|août|octobre|novembre|décembre"
    "|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre)"
)
_DATE: Final = (
    r"(?:(?:19|20)[0-9]{2}[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12][0-9]|3[01])"
    r"|(?:0?[1-9]|[12][0-9]|3[01])[-/. ]{1,2}(?:0?[1-9]|[12][0-9]|3[01])[-/. ]{1,2}(?:19|20)?[0-9]{2}"
    rf"|(?:0?[1-9]|[12][0-9]|3[01])(?:st|nd|rd|th|\.)? (?:of |de )?(?i:{_MONTH})\.?,? (?:de )?(?:19|20)[0-9]{{2}}"
    rf"|(?i:{_MONTH})\.? (?:0?[1-9]|[12][0-9]|3[01])(?:st|nd|rd|th)?,? (?:19|20)[0-9]{{2}})"
)
_BORN: Final = (
    "born", "dob", "d.o.b", "date of birth", "birth date", "birthdate", "birthday", "geboren",
    "geburtsdatum", "geb.", "né le", "née le", "date de naissance", "nacido", "nacida",
    "fecha de nacimiento", "nato il", "nata il", "data di nascita",
)  # fmt: skip

_STREET: Final = (
    "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Square|Sq|Terrace|Place"
    "|Pl|Way|Parkway|Pkwy|Highway|Hwy|Circle|Cir|Crescent|Close|Row|Trail|Alley"
)
_FRENCH_STREET: Final = "(?:rue|avenue|boulevard|place|chemin|impasse|quai)"
_ROMANCE_STREET: Final = "(?:Calle|Avenida|Plaza|Paseo|Via|Viale|Piazza|Corso|Rua)"
_INTRODUCTION: Final = (
    "(?i:my name is|my name's|i am called|name:|mein name ist|ich hei(?:ß|ss)e"
    "|je m'appelle|me llamo|mi chiamo|signed,|sincerely,|best regards,|kind regards,)"
)
_TITLE: Final = "(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herr|Frau|Mme|Monsieur|Madame|Sr|Sra|Señor|Señora|Sig)"
_WORD: Final = r"(?:[A-ZÀ-ÖØ-Þ]|[0-9]{1,3}[a-z])[\w'.-]{0,24}"
_ENGLISH_ADDRESS: Final = (
    rf"(?<![\w.,-])[0-9]{{1,5}}[A-Za-z]?,? (?:[NSEW]\.? )?{_WORD}(?: {_WORD}){{0,3}} (?:{_STREET})"
)

RULES: Final = (
    Rule(
        id="pii.date_of_birth",
        category="DATE_OF_BIRTH",
        pattern=rf"(?<![\w./-]){_DATE}(?![\w/-])(?!\.[0-9])",
        score=0,
        context=Context(words=_BORN, score=0.85, chars=32),
    ),
    Rule(
        id="pii.person.introduced",
        category="PERSON",
        hint=rf"(?<!\w){_INTRODUCTION}[ \n]",
        pattern=(rf"(?<!\w){_INTRODUCTION}[ \n]{{1,3}}(?P<value>{_FULL_NAME})(?!\w)"),
        score=0.8,
    ),
    Rule(
        id="pii.person.titled",
        category="PERSON",
        hint=rf"(?<!\w){_TITLE}\.? ",
        pattern=(rf"(?<!\w){_TITLE}\.? {{1,2}}(?P<value>{_FULL_NAME})(?!\w)"),
        score=0.75,
    ),
    Rule(
        id="pii.address.english",
        category="STREET_ADDRESS",
        hint=_ENGLISH_ADDRESS,
        pattern=(
            rf"{_ENGLISH_ADDRESS}(?!\w)"
            r"\.?(?:,? (?:Apt|Suite|Ste|Unit|Flat|Floor|#)\.? ?[0-9A-Za-z-]{1,6}(?!\w))?"
        ),
        score=0.7,
    ),
    Rule(
        id="pii.address.german",
        category="STREET_ADDRESS",
        pattern=(
            r"(?<!\w)[A-ZÄÖÜ][\wäöüß-]{2,30}(?:straße|strasse|str\.|weg|allee|platz|gasse|damm|ufer) "
            r"[0-9]{1,4} ?[a-z]?(?:, [0-9]{5} [A-ZÄÖÜ][\wäöüß-]{2,24})?(?!\w)"
        ),
        score=0.7,
    ),
    Rule(
        id="pii.address.romance",
        category="STREET_ADDRESS",
        hint=rf"(?<!\w)(?:[0-9]{{1,4}}(?: ?bis| ?ter)?,? {_FRENCH_STREET}|{_ROMANCE_STREET}) ?",
        pattern=(
            rf"(?<!\w)(?:[0-9]{{1,4}}(?: ?bis| ?ter)?,? {_FRENCH_STREET}"
            rf"(?: (?:de la|de|du|des|d'))? ?{_WORD}(?: {_WORD}){{0,2}}"
            rf"|{_ROMANCE_STREET}(?: (?:de la|de|del|della|dei|da))?"
            rf" {_WORD}(?: {_WORD}){{0,2}},? (?:n[.º°]? ?)?[0-9]{{1,4}})(?!\w)"
        ),
        score=0.7,
    ),
    Rule(
        id="pii.po_box",
        category="STREET_ADDRESS",
        pattern=r"(?<!\w)(?:P\.? ?O\.? Box|Postfach|PSC) [0-9]{1,6}(?!\w)",
        score=0.7,
    ),
)
