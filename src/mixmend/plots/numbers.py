"""Numbers as they are written in pictures: no more digits than mean something."""

from __future__ import annotations

import math
from collections.abc import Iterable

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MINUS = "−"


def significant(value: float, digits: int = 3) -> str:
    """Write ``value`` with so many significant digits.

    Examples
    --------
    >>> significant(0.78461), significant(-12.3456), significant(1234567.0), significant(2.5e-5)
    ('0.785', '−12.3', '1.23×10⁶', '2.50×10⁻⁵')
    """
    if value == 0 or not math.isfinite(value):
        return plain(value, 0)
    return _written(value, exponent_of(value, digits) - digits + 1)


def mean_and_deviation(mean: float, deviation: float) -> tuple[str, str]:
    """Write a mean to a fiftieth of its standard deviation, and that to three digits.

    Examples
    --------
    >>> mean_and_deviation(5.131728, 0.784578)
    ('5.13', '0.785')
    >>> mean_and_deviation(1000000.5, 0.25)
    ('1000000.500', '0.250')
    >>> mean_and_deviation(3.2e6, 1.5e5)
    ('3.200×10⁶', '1.50×10⁵')
    """
    if not (deviation > 0 and math.isfinite(deviation) and math.isfinite(mean)):
        return significant(mean, 4), significant(deviation)
    last = math.floor(math.log10(deviation / 50))
    if mean != 0:
        last = max(last, exponent_of(mean, 9) - 9)  # a double has no more places to tell apart
    return _written(mean, last), significant(deviation)


def tuple_of(parts: Iterable[str]) -> str:
    """Several numbers in brackets, one number bare."""
    parts = list(parts)
    return parts[0] if len(parts) == 1 else "(" + ", ".join(parts) + ")"


def grouped(value: float, decimals: int = 0) -> str:
    """Write a large number with narrow spaces between thousands.

    Examples
    --------
    >>> grouped(-1390234.42, 1) == "−1\N{THIN SPACE}390\N{THIN SPACE}234.4"
    True
    """
    return f"{value:,.{decimals}f}".replace(",", "\N{THIN SPACE}").replace("-", MINUS)


def axis_number(value: float) -> str:
    """Write a number along an axis: thousands apart, no more decimals than its size needs.

    Examples
    --------
    >>> axis_number(-1200.0), axis_number(2.5), axis_number(0.0125)
    ('−1 200', '2.50', '0.0125')
    """
    size = abs(value)
    if size >= 1:
        return grouped(value, 0 if size >= 100 else 1 if size >= 10 else 2)
    return f"{value:.3g}".replace("-", MINUS)


def exponent_of(value: float, digits: int) -> int:
    """Power of ten of the first digit of ``value`` once rounded to so many digits."""
    return int(f"{value:.{digits - 1}e}".split("e")[1])


def _written(value: float, last: int) -> str:
    """``value`` up to the place 10**last, in powers of ten where it is large or tiny."""
    if value == 0:
        return plain(0.0, min(max(-last, 0), 3))
    first = exponent_of(value, max(1, min(17, math.floor(math.log10(abs(value))) - last + 1)))
    if first < last:  # less than half a unit of the last place: it rounds to nothing
        return "0" if last > 0 or last < -4 else plain(0.0, -last)
    if (first >= 4 and last >= 1) or (first >= 6 and last == 0) or first >= 9 or first < -3:
        return f"{plain(value / 10.0**first, first - last)}×10{str(first).translate(_SUPERSCRIPT)}"
    return plain(value, max(-last, 0))


def plain(value: float, decimals: int) -> str:
    """``value`` with so many decimals, with a real minus sign and without negative zero."""
    text = f"{value:.{decimals}f}"
    if not text.strip("-0."):
        text = text.lstrip("-")  # no negative zero
    return text.replace("-", MINUS)
