"""Numbers that states give to persons: national, tax and health identifiers, papers.

A checksum of one digit passes one random number in ten, so a bare run of digits counts only
beside a word that names it, or alone on its line as in a form. Where the form itself is rare
(letters, a date inside, two check digits) the number speaks for itself.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from guardrails.rules import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["RULES"]

# Not inside a longer number, a decimal, a path, or a row of digit groups.
_BEFORE: Final = r"(?<![0-9] )(?<![0-9][.,])(?<![\w/-])"
_AFTER: Final = r"(?![\w/-])(?!\.[0-9])(?! [0-9]{3,4}(?![0-9]))"

_TWIN: Final = "[0-9LMNPQRSTUVlmnpqrstuv]"

_WEAK: Final = 0.3
_FAIR: Final = 0.55
_STRONG: Final = 0.85
_NAMED: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class _Number:
    """One kind of number: its form, the checksum by its module in python-stdnum, its names."""

    id: str
    category: str
    form: str
    stdnum: str
    words: tuple[str, ...]
    bare: float = _WEAK


def _n(  # noqa: PLR0913, PLR0917 - a row of the table below
    id_: str, category: str, form: str, stdnum: str, words: str, bare: float = _WEAK
) -> _Number:
    return _Number(
        id=id_,
        category=category,
        form=form,
        stdnum=stdnum,
        words=tuple(words.split("|")),
        bare=bare,
    )


_ID, _TAX, _HEALTH = "NATIONAL_ID", "TAX_ID", "HEALTH_ID"
_TIN: Final = "tax|tin|vat|fiscal"

_NUMBERS: Final = (
    _n("al_nipt", _TAX, "[A-Z][0-9]{8}[A-Z]", "al.nipt", "nipt|" + _TIN),
    _n("ar_cuit", _TAX, "[0-9]{2}-[0-9]{8}-[0-9]", "ar.cuit", "cuit|cuil", _FAIR),
    _n("at_vnr", _ID, "[0-9]{4} ?[0-9]{6}", "at.vnr", "svnr|sozialversicherung|versicherungsnummer"),
    _n("au_abn", _TAX, "[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}", "au.abn", "abn|australian business", _FAIR),
    _n("au_acn", _TAX, "[0-9]{3} ?[0-9]{3} ?[0-9]{3}", "au.acn", "acn|australian company"),
    _n("au_tfn", _TAX, "[0-9]{3} ?[0-9]{3} ?[0-9]{2,3}", "au.tfn", "tfn|tax file"),
    _n("be_nn", _ID, r"[0-9]{2}\.?[0-9]{2}\.?[0-9]{2}-?[0-9]{3}\.?[0-9]{2}", "be.nn", "rijksregister|registre national|national number|insz", _FAIR),
    _n("bg_egn", _ID, "[0-9]{10}", "bg.egn", "egn|егн|personal number"),
    _n("br_cpf", _ID, r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", "br.cpf", "cpf", _STRONG),
    _n("br_cpf_bare", _ID, "[0-9]{11}", "br.cpf", "cpf"),
    _n("br_cnpj", _TAX, r"[0-9]{2}\.[0-9]{3}\.[0-9]{3}/[0-9]{4}-[0-9]{2}", "br.cnpj", "cnpj", _STRONG),
    _n("ca_sin", _ID, "[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}", "ca.sin", "sin|social insurance|nas"),
    _n("ch_ssn", _ID, r"756\.?[0-9]{4}\.?[0-9]{4}\.?[0-9]{2}", "ch.ssn", "ahv|avs|ssn", _STRONG),
    _n("cl_rut", _ID, r"[0-9]{1,2}\.?[0-9]{3}\.?[0-9]{3}-[0-9Kk]", "cl.rut", "rut|run", _FAIR),
    _n("cn_ric", _ID, "[0-9]{17}[0-9Xx]", "cn.ric", "身份证|id card|identity", _STRONG),
    _n("co_nit", _TAX, r"[0-9]{3}\.?[0-9]{3}\.?[0-9]{3}-[0-9]", "co.nit", "nit", _FAIR),
    _n("cz_rc", _ID, "[0-9]{6}/[0-9]{3,4}", "cz.rc", "rodné|rc|birth number", _FAIR),
    _n("de_idnr", _TAX, "[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}", "de.idnr", "steuer|idnr|" + _TIN, _FAIR),
    _n("dk_cpr", _ID, "[0-9]{6}-[0-9]{4}", "dk.cpr", "cpr|personnummer", _FAIR),
    _n("do_cedula", _ID, "[0-9]{3}-[0-9]{7}-[0-9]", "do.cedula", "cedula|cédula", _FAIR),
    _n("ec_ci", _ID, "[0-9]{10}", "ec.ci", "cédula|cedula|identidad"),
    _n("ee_ik", _ID, "[1-6][0-9]{10}", "ee.ik", "isikukood|personal code", _FAIR),
    _n("es_nie", _ID, "[XYZxyz]-?[0-9]{7}-?[A-Za-z]", "es.nie", "nie|extranjero", _STRONG),
    _n("fr_nir", _ID, "[12] ?[0-9]{2} ?[0-9]{2} ?[0-9AB]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}", "fr.nir", "nir|sécurité sociale|sécu", _STRONG),
    _n("fr_siret", _TAX, "[0-9]{3} ?[0-9]{3} ?[0-9]{3} ?[0-9]{5}", "fr.siret", "siret"),
    _n("gb_utr", _TAX, "[0-9]{10}", "gb.utr", "utr|taxpayer reference"),
    _n("gb_nhs", _HEALTH, "[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4}", "gb.nhs", "nhs", _WEAK),
    _n("gr_amka", _ID, "[0-9]{11}", "gr.amka", "amka|αμκα"),
    _n("hr_oib", _ID, "[0-9]{11}", "hr.oib", "oib"),
    _n("ie_pps", _ID, "[0-9]{7}[A-Wa-w][ABTWXZabtwxz]?", "ie.pps", "pps|ppsn", _FAIR),
    _n("il_id", _ID, "[0-9]{9}", "il.idnr", "teudat|israeli id|תעודת"),
    _n("in_aadhaar", _ID, "[2-9][0-9]{3}[ :-]?[0-9]{4}[ :-]?[0-9]{4}", "in_.aadhaar", "aadhaar|aadhar|uidai", _FAIR),
    _n("in_gstin", _TAX, "[0-9]{2}[A-Z]{5}[0-9]{4}[A-Z][0-9A-Z]Z[0-9A-Z]", "in_.gstin", "gst", _STRONG),
    _n("in_pan", _TAX, "[A-Za-z]{5}[0-9]{4}[A-Za-z]", "in_.pan", "pan|permanent account", _FAIR),
    _n("is_kennitala", _ID, "[0-9]{6}-?[0-9]{4}", "is_.kennitala", "kennitala|kt"),
    _n("it_codicefiscale", _ID, "[A-Za-z]{6}[0-9]{2}[A-Za-z][0-9]{2}[A-Za-z][0-9]{3}[A-Za-z]", "it.codicefiscale", "codice fiscale", _STRONG),
    _n("it_iva", _TAX, "[0-9]{11}", "it.iva", "iva|partita"),
    _n("kr_rrn", _ID, "[0-9]{6}-?[1-8][0-9]{6}", "kr.rrn", "주민|resident registration|rrn", _FAIR),
    _n("kr_brn", _TAX, "[0-9]{3}-[0-9]{2}-[0-9]{5}", "kr.brn", "사업자|business registration", _FAIR),
    _n("lt_asmens", _ID, "[3-6][0-9]{10}", "lt.asmens", "asmens|personal code", _FAIR),
    _n("mx_curp", _ID, "[A-Z]{4}[0-9]{6}[HM][A-Z]{5}[0-9A-Z][0-9]", "mx.curp", "curp", _STRONG),
    _n("my_nric", _ID, "[0-9]{6}-[0-9]{2}-[0-9]{4}", "my.nric", "nric|mykad|ic no", _FAIR),
    _n("nl_bsn", _ID, "[0-9]{9}", "nl.bsn", "bsn|burgerservice|sofi"),
    _n("no_fnr", _ID, "[0-9]{6} ?[0-9]{5}", "no.fodselsnummer", "fødselsnummer|fodselsnummer|personnummer", _FAIR),
    _n("nz_ird", _TAX, "[0-9]{2,3}-[0-9]{3}-[0-9]{3}", "nz.ird", "ird", _FAIR),
    _n("pk_cnic", _ID, "[0-9]{5}-[0-9]{7}-[0-9]", "pk.cnic", "cnic|nic", _FAIR),
    _n("pl_pesel", _ID, "[0-9]{11}", "pl.pesel", "pesel", _FAIR),
    _n("pl_nip", _TAX, "[0-9]{3}-[0-9]{3}-[0-9]{2}-[0-9]{2}", "pl.nip", "nip", _FAIR),
    _n("pt_nif", _TAX, "[0-9]{9}", "pt.nif", "nif|contribuinte"),
    _n("pt_cc", _ID, "[0-9]{8} ?[0-9] ?[A-Z0-9]{2}[0-9]", "pt.cc", "cartão de cidadão|cc", _WEAK),
    _n("ro_cnp", _ID, "[1-8][0-9]{12}", "ro.cnp", "cnp", _FAIR),
    _n("ru_inn", _TAX, "[0-9]{10}(?:[0-9]{2})?", "ru.inn", "инн|inn"),
    _n("se_personnummer", _ID, "(?:[0-9]{2})?[0-9]{6}[-+]?[0-9]{4}", "se.personnummer", "personnummer|personal identity|swedish id|födelse", _FAIR),
    _n("se_orgnr", _TAX, "[0-9]{6}-[0-9]{4}", "se.orgnr", "organisationsnummer|orgnr|org.nr", _FAIR),
    _n("sg_uen", _TAX, "(?:[0-9]{8}[A-Z]|[0-9]{9}[A-Z]|[TSR][0-9]{2}[A-Z]{2}[0-9]{4}[A-Z])", "sg.uen", "uen", _FAIR),
    _n("si_emso", _ID, "[0-9]{13}", "si.emso", "emšo|emso|jmbg", _FAIR),
    _n("th_pin", _ID, "[1-8]-?[0-9]{4}-?[0-9]{5}-?[0-9]{2}-?[0-9]", "th.pin", "thai|บัตรประชาชน|national id", _FAIR),
    _n("tr_tckimlik", _ID, "[1-9][0-9]{10}", "tr.tckimlik", "kimlik|tckn|t.c.|turkish id", _FAIR),
    _n("tw_ubn", _TAX, "[0-9]{8}", "tw.ubn", "統一編號|ubn"),
    _n("us_ein", _TAX, "[0-9]{2}-[0-9]{7}", "us.ein", "ein|employer identification"),
    _n("za_id", _ID, "[0-9]{13}", "za.idnr", "id number|south african|identity", _FAIR),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Paper:
    """A document number without a checksum: it counts only beside its name."""

    id: str
    category: str
    form: str
    words: tuple[str, ...]


_PASSPORT: Final = ("passport", "reisepass", "passeport", "pasaporte", "passaporto", "여권")
_LICENCE: Final = (
    "driver", "driving", "licence", "license", "führerschein", "permis", "patente", "dl no", "면허",
)  # fmt: skip

_PAPERS: Final = (
    _Paper(id="passport", category="PASSPORT", form="[A-Za-z]{1,3}[0-9]{6,8}|[0-9]{9}|[A-Z][0-9]{3}[A-Z][0-9]{4}|[CFGHJKLMNPRTVWXYZ][CFGHJKLMNPRTVWXYZ0-9]{8}", words=_PASSPORT),
    _Paper(id="licence", category="DRIVING_LICENCE", form="[A-Z]{1,2}[0-9]{6,14}[A-Z]?|[0-9]{7,9}|[A-Z9]{5}[0-9]{6}[A-Z9]{2}[0-9A-Z]{3}|[0-9]{2}[- ][0-9]{2}[- ][0-9]{6}[- ][0-9]{2}", words=_LICENCE),
    _Paper(id="us_mbi", category="HEALTH_ID", form="[1-9][A-Z][A-Z0-9][0-9]-?[A-Z][A-Z0-9][0-9]-?[A-Z]{2}[0-9]{2}", words=("medicare", "mbi", "patient", "beneficiary")),
    _Paper(id="medical_record", category="HEALTH_ID", form="[A-Z]{0,3}-?[0-9]{5,12}", words=("mrn", "medical record", "patient id", "patient number", "health insurance", "versichertennummer", "krankenversicher")),
)  # fmt: skip


def _is_ssn(text: str) -> bool:
    digits = "".join(char for char in text if char.isdigit())
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if digits in {"123456789", "078051120", "219099999"} or len(set(digits)) == 1:
        return False
    return area not in {"000", "666"} and area < "900" and group != "00" and serial != "0000"


def _is_nino(text: str) -> bool:
    compact = "".join(text.split()).upper()
    return compact[:2] not in {"BG", "GB", "NK", "KN", "TN", "NT", "ZZ"}


def _is_hetu(text: str) -> bool:
    # Newer letters for the century than python-stdnum knows; the check character is the same.
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(text[:6] + text[7:10]) % 31] == text[10]


def _is_nif(text: str) -> bool:
    number = int(text[:-1].rstrip("-"))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23] == text[-1].upper()


def _is_npi(text: str) -> bool:
    from stdnum import luhn  # noqa: PLC0415 - beside its only use

    return bool(luhn.is_valid("80840" + "".join(char for char in text if char.isdigit())))


def _is_dea(text: str) -> bool:
    digits = [int(char) for char in text[2:]]
    odd, even = digits[0] + digits[2] + digits[4], digits[1] + digits[3] + digits[5]
    return (odd + 2 * even) % 10 == digits[6]


def _is_nric(text: str) -> bool:
    return _NRIC_CHECKS[text[0]][sum(_products(text)) % 11] == text[-1]


_NRIC_WEIGHTS: Final = (2, 7, 6, 5, 4, 3, 2)
_NRIC_OFFSETS: Final = {"S": 0, "T": 4, "F": 0, "G": 4, "M": 3}
_NRIC_CHECKS: Final = {
    "S": "JZIHGFEDCBA", "T": "JZIHGFEDCBA", "F": "XWUTRQPNMLK", "G": "XWUTRQPNMLK",
    "M": "XWUTRQPNJLK",
}  # fmt: skip


def _products(text: str) -> Iterator[int]:
    yield _NRIC_OFFSETS[text[0]]
    for weight, digit in zip(_NRIC_WEIGHTS, text[1:8], strict=True):
        yield weight * int(digit)


def _checked_by(module: str) -> Callable[[str], bool]:
    is_valid = importlib.import_module(f"stdnum.{module}").is_valid

    def accept(text: str) -> bool:
        return bool(is_valid(text.replace(":", "")))

    return accept


def _number_rule(number: _Number) -> Rule:
    return Rule(
        id=f"pii.{number.id}",
        category=number.category,
        pattern=rf"{_BEFORE}{_group(number.form)}{_AFTER}",
        accept=_checked_by(number.stdnum),
        score=number.bare,
        context=Context(words=number.words, score=_NAMED),
        alone=max(number.bare, _FAIR),
    )


def _paper_rule(paper: _Paper) -> Rule:
    return Rule(
        id=f"pii.{paper.id}",
        category=paper.category,
        pattern=rf"{_BEFORE}{_group(paper.form)}{_AFTER}",
        score=0,
        context=Context(words=paper.words, score=0.8, chars=40),
    )


def _group(form: str) -> str:
    return f"(?:{form})"


RULES: Final = (
    *map(_number_rule, _NUMBERS),
    *map(_paper_rule, _PAPERS),
    Rule(
        id="pii.us_ssn",
        category="US_SSN",
        pattern=r"(?<![\w-])[0-9]{3}-[0-9]{2}-[0-9]{4}(?![\w-])",
        accept=_is_ssn,
        score=0.85,
    ),
    Rule(
        id="pii.us_ssn.bare",
        category="US_SSN",
        pattern=r"(?<![\w.-])[0-9]{3}[ .]?[0-9]{2}[ .]?[0-9]{4}(?![\w-])(?!\.[0-9])",
        accept=_is_ssn,
        score=0,
        context=Context(words=("ssn", "social security"), score=0.85),
    ),
    Rule(
        id="pii.us_ssn.separated",
        category="US_SSN",
        pattern=(
            r"(?<![\w.-])(?:[0-9]{3} [0-9]{2} [0-9]{4}|[0-9]{3}\.[0-9]{2}\.[0-9]{4})"
            r"(?![\w-])(?!\.[0-9])(?! [0-9])"
        ),
        accept=_is_ssn,
        score=0.55,
    ),
    Rule(
        id="pii.us_itin",
        category=_TAX,
        # The groups that are given out today; python-stdnum knows those of before 2011.
        pattern=(
            rf"{_BEFORE}9[0-9]{{2}}[ -]?(?:5[0-9]|6[0-5]|7[0-9]|8[0-8]|9[0-24-9])[ -]?[0-9]{{4}}"
            rf"{_AFTER}"
        ),
        score=_WEAK,
        context=Context(words=("itin", "taxpayer", "tax id"), score=_NAMED),
        alone=_FAIR,
    ),
    Rule(
        id="pii.fi_hetu",
        category=_ID,
        pattern=rf"{_BEFORE}[0-3][0-9][01][0-9]{{3}}[-+A-FU-Y][0-9]{{3}}[0-9A-FHJ-NPR-Y]{_AFTER}",
        accept=_is_hetu,
        score=_STRONG,
    ),
    Rule(
        id="pii.it_codicefiscale.twin",
        category=_ID,
        # Persons whose codes would be equal have letters for some of the digits.
        pattern=(
            rf"{_BEFORE}[A-Za-z]{{6}}{_TWIN}{{2}}[A-Za-z]{_TWIN}{{2}}[A-Za-z]{_TWIN}{{3}}[A-Za-z]{_AFTER}"
        ),
        accept=_checked_by("it.codicefiscale"),
        score=0,
        context=Context(words=("codice fiscale", "c.f.", "cod. fisc"), score=_NAMED),
    ),
    Rule(
        id="pii.es_nif",
        category=_ID,
        pattern=rf"{_BEFORE}[0-9]{{7,8}}-?[A-Za-z]{_AFTER}",
        accept=_is_nif,
        score=_STRONG,
    ),
    Rule(
        id="pii.gb_nino",
        category=_ID,
        pattern=(
            r"(?<![\w-])[A-CEGHJ-PR-TW-Za-ceghj-pr-tw-z][A-CEGHJ-NPR-TW-Za-ceghj-npr-tw-z]"
            r"(?: ?[0-9]{2}){3} ?[A-Da-d](?![\w-])"
        ),
        accept=_is_nino,
        score=0.8,
    ),
    Rule(
        id="pii.sg_nric",
        category=_ID,
        pattern=r"(?<![\w-])[STFGM][0-9]{7}[A-Z](?![\w-])",
        accept=_is_nric,
        score=_STRONG,
    ),
    Rule(
        id="pii.us_npi",
        category=_HEALTH,
        pattern=r"(?<![\w.-])[12][0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}(?![\w-])(?!\.[0-9])",
        accept=_is_npi,
        score=_WEAK,
        context=Context(words=("npi", "provider identifier"), score=_NAMED),
    ),
    Rule(
        id="pii.us_dea",
        category=_HEALTH,
        pattern=r"(?<![\w-])[A-HJ-MPR-UX][A-Z9][0-9]{7}(?![\w-])",
        accept=_is_dea,
        score=_FAIR,
        context=Context(words=("dea",), score=_NAMED),
    ),
)
