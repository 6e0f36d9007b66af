r"""What stands around a number: currencies before it, units and other words after it.

Units are left out, since answers give them or don't: `14 apples`, `\$14.00`, `14\text{ cm}^2`,
`14%` and `14^\circ` are 14. Some words after a number are no unit, they change it: `4 dozen`,
`3 more than Ben`, `5 and a half`, `3 pm`. What has such words is not read.
"""

from __future__ import annotations

import re
from itertools import pairwise

from .expressions import Unread

_NUMERALS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
    fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty
    ninety hundred hundreds thousand thousands million millions billion billions trillion
    trillions dozen dozens score gross lakh lakhs crore crores mil mln mn bn tn half halves
    third thirds quarter quarters fourth fourths fifth fifths sixth sixths seventh sevenths
    eighth eighths ninth ninths tenth tenths twelfth twelfths sixteenths hundredth hundredths
    thousandth thousandths millionth millionths
"""
_OPERATIONS = """
    plus minus multiplied divided added subtracted over equals equal is are was were to
    through thru till until or nor not binary ternary octal hex hexadecimal fold squared cubed
    factorial choose permute mod modulo point remainder root roots power powers base negative
    exponent more less fewer greater smaller larger higher lower short above below under
    beyond doubled tripled halved twice double raised log sqrt percentile stars st nd rd th
    between except without versus vs by
"""
_TIMES = """
    am pm oclock noon midnight ago january february march april may june july august september
    october november december jan feb mar apr jun jul aug sep sept oct nov dec
"""
_CHANGING = frozenset(f"{_NUMERALS} {_OPERATIONS} {_TIMES}".split())
_LETTERS = frozenset("kKMB")  # thousand, million and billion, or units
_AFTER_TIMES = frozenset("a an per each every daily weekly monthly in".split())
_FUNCTIONS = "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln exp".split()
_FUNCTION = re.compile(rf"(?:{'|'.join(_FUNCTIONS)})(?![A-Za-z])")
_CONJUNCTIONS = (
    "because|since|so|which|that|when|where|if|while|given|then|thus|hence"
    "|as(?! ?(?:many|much|big|large|long|old|tall|far|fast|few|well|heavy))"
)
_STARTS_A_CLAUSE = re.compile(
    # after a comma, these go on with the number
    r"[,;](?! ?(?:or|and|plus|minus|times|to|but)(?![A-Za-z]))"
    rf"|(?<![A-Za-z])(?:{_CONJUNCTIONS})(?![A-Za-z])"
)

_ABBREVIATIONS = """
    cm mm km nm ft yd mi lb lbs kg mg oz ml mL hr hrs min mins sec secs mph kph km/h m/s kW
    kWh Hz mol ha sq cu dB GB MB TB USD EUR GBP in inch inches foot feet yard yards mile miles
    meter meters metre metres unit units degree degrees dollar dollars cent cents hour hours
    minute minutes second seconds day days week weeks month months year years percent gram
    grams liter liters litre litres square cubic radian radians rad people
""".split()
_KNOWN = "|".join(sorted(map(re.escape, _ABBREVIATIONS), key=len, reverse=True))
_EXPONENT = r"(?:\s*\^\s*(?:\{\s*-?\d\s*\}|-?\d))?"

_LATEX_UNIT = re.compile(
    rf"(?P<value>.*[^\s\\_^]) ?\\text ?\{{(?P<words>[^{{}}]*)\}}{_EXPONENT}(?P<rest>.*)",
)
_KNOWN_UNIT = re.compile(
    rf"(?P<value>.*?(?:[\d)}}%$]|\\pi)) ?(?P<words>(?:{_KNOWN})(?![A-Za-z]).*)",
)
_FRACTION = r"\\frac ?\{\d+\} ?\{\d+\}"
_ANY_UNIT = re.compile(
    rf"(?P<value>[^A-Za-z\\]*[\d%€£¢]|-?{_FRACTION}|\d+ ?{_FRACTION}) (?P<words>[A-Za-z].*)",
)
_ORDINAL = re.compile(r"\d ?(?:st|nd|rd|th|[ap]\.?m\.?)(?![A-Za-z])", re.IGNORECASE)
_CURRENCY = re.compile(
    r"(?P<sign>[-+]?) ?(?:US|CA|AU|A|C)?(?:\$|€|£|¥|₹|(?:USD|EUR|GBP|Rs\.?) )"
    r" ?(?P<sign2>[-+]?)(?=[\d.\\(])"
)
_SIGN_BEHIND = re.compile(r" ?(?:%|\$|€|£|¥|¢|₹|\^\\circ ?[CFK]?|\\text ?\{ ?\\?[%$] ?\})$")


def split_unit(text: str) -> tuple[str, str]:
    r"""Return the value and its unit, "" where it has none.

    Args:
        text: in plain notation; see `motes.ppl.answers.notation.tidy`.

    Raises:
        Unread: the words that follow are no unit, or may change the value.

    Example:
        >>> split_unit(r"10 \text{ square feet}"), split_unit("$1,000")
        (('10', 'square feet'), ('1,000', ''))
    """
    if _ORDINAL.search(text):
        raise Unread("an ordinal, or a time")
    value, unit = _split_words(text)
    if _CURRENCY.match(value):
        value = _CURRENCY.sub(r"\g<sign>\g<sign2>", value, count=1)
    # the sine of 30 degrees is not that of 30
    if not _FUNCTION.search(value):
        value = _SIGN_BEHIND.sub("", value)
    return value.strip(), unit


def check_unit(words: str, letters: frozenset[str] = _LETTERS | {"m", "b"}) -> str:
    """Return the words after a number that are its unit: those in front of the next clause.

    Raises:
        Unread: they change the number, or hold another.
    """
    words = re.sub(r"\^ ?\{? ?-?\d ?\}?", "", words)
    phrase = _STARTS_A_CLAUSE.split(words, maxsplit=1)[0]
    joined = re.sub(r"(?<=[A-Za-z])['.](?=[A-Za-z])|(?<=[ap]\.m)\.", "", phrase)  # o'clock, p.m.
    found = re.findall(r"[^\W\d_]+", joined.lower())
    has_signs = re.search(r"[\d\\+*=<>!?$%:]", phrase)
    if has_signs or phrase.strip(" .") in letters or not _CHANGING.isdisjoint(found):
        raise Unread(f"{phrase!r} may change the number before it")
    for word, following in pairwise([*found, ""]):
        is_product = word == "times" and following and following not in _AFTER_TIMES
        if is_product or (word == "and" and following in ("a", "an", "")):
            raise Unread(f"{phrase!r} may change the number before it")
    clause = words[len(phrase) :]
    if re.match(r"[,;] ?[^\w\s]{0,2}\d", clause):
        raise Unread(f"another number follows in {words!r}")
    return phrase.strip(" .,;")


def _split_words(text: str) -> tuple[str, str]:
    latex = _LATEX_UNIT.fullmatch(text)
    if latex:
        if not re.fullmatch(r"[ /^\d{}.-]*|\\text ?\{[^{}]*\}", latex["rest"]):
            raise Unread("words amid an expression")
        inner = latex["value"]
        value, unit = _split_words(inner) if "\\text" in inner else (inner, "")
        return value, " ".join(filter(None, (unit, check_unit(latex["words"], _LETTERS))))
    any_unit = _ANY_UNIT.fullmatch(text)
    if any_unit and _is_word(any_unit["words"]):
        return any_unit["value"], check_unit(any_unit["words"])
    known = _KNOWN_UNIT.fullmatch(text)
    if known:
        return known["value"], check_unit(known["words"])
    return text, ""


def _is_word(words: str) -> bool:
    """Return whether they begin with a word rather than with letters, as 3 xyz does."""
    first = re.match("[A-Za-z]+", words)
    assert first is not None
    word = first.group()
    if word in _FUNCTIONS or word in ("sqrt", "pi", "theta", "alpha", "beta"):
        return False
    is_long = len(word) > 2 and word.lower() not in "abcdefghijklmnopqrstuvwxyz"
    return is_long or word in _CHANGING
