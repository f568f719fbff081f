"""Dates, times and durations as S7 keeps them, to and from plain numbers. Pure.

A CPU's clock has no zone: what it says is taken as it is, and called neither local nor UTC. A moment is a number of
nanoseconds since 1970-01-01 00:00 of the CPU's own clock, a duration a number of milliseconds. Formats: Siemens,
*Programming with STEP 7*, appendix "Data types and parameter types"; DTL and LDT: system manual S7-1200/1500.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from struct import pack, unpack
from typing import Final, NamedTuple

from adapters.s7.config import Encoding

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = 86_400
_FIRST_DATE: Final = (datetime(1990, 1, 1, tzinfo=UTC) - _EPOCH).days
_LAST_DATE: Final = (datetime(2168, 12, 31, tzinfo=UTC) - _EPOCH).days
DAY_MS: Final = _DAY * 1000
_S5_BASES: Final = (10, 100, 1_000, 10_000)
"""Milliseconds per count, by bits 12 and 13 of an S5TIME."""


class Moment(NamedTuple):
    """A format of dates."""

    decode: Callable[[bytes], int]
    """ns since 1970. Raises ValueError for bytes that are no date."""
    encode: Callable[[int], bytes]
    """Raises ValueError for what the format cannot hold."""
    digits: int
    """Digits behind the second in text; -1: a date without time of day."""


class Span(NamedTuple):
    """A format of durations, or of the time of day."""

    decode: Callable[[bytes], int]
    """ms. Raises ValueError."""
    encode: Callable[[int], bytes]
    """Raises ValueError."""


def _bcd(byte: int) -> int:
    if byte >> 4 > 9 or byte & 15 > 9:
        raise ValueError("no decimal digits")
    return (byte >> 4) * 10 + (byte & 15)


def _to_bcd(number: int) -> int:
    return number // 10 << 4 | number % 10


def _since(moment: datetime, nanoseconds: int = 0) -> int:
    delta = moment - _EPOCH
    return (delta.days * _DAY + delta.seconds) * 1_000_000_000 + nanoseconds


def _split(ns: int) -> tuple[datetime, int]:
    """Whole seconds, and nanoseconds behind them. Raises ValueError for what no calendar has."""
    seconds, rest = divmod(ns, 1_000_000_000)
    try:
        return _EPOCH + timedelta(seconds=seconds), rest
    except OverflowError as error:
        raise ValueError("outside the calendar") from error


def _decode_dt(raw: bytes) -> int:
    """DATE_AND_TIME: eight bytes of BCD; years 90 to 99 are 1990 to 1999; the last digit is the day of the week."""
    year, month, day, hour, minute, second, hundredths = map(_bcd, raw[:7])
    thousandths = raw[7] >> 4
    if thousandths > 9:
        raise ValueError("no decimal digit")
    moment = datetime(year + (1900 if year >= 90 else 2000), month, day, hour, minute, second, tzinfo=UTC)
    return _since(moment, (hundredths * 10 + thousandths) * 1_000_000)


def _encode_dt(ns: int) -> bytes:
    moment, rest = _split(ns)
    if not 1990 <= moment.year <= 2089:
        raise ValueError("DATE_AND_TIME holds the years 1990 to 2089")
    ms = rest // 1_000_000
    parts = (moment.year % 100, moment.month, moment.day, moment.hour, moment.minute, moment.second, ms // 10)
    return bytes(map(_to_bcd, parts)) + bytes((ms % 10 << 4 | _weekday(moment),))


def _weekday(moment: datetime) -> int:
    """1 is Sunday."""
    return moment.isoweekday() % 7 + 1


def _decode_dtl(raw: bytes) -> int:
    """DTL: year (two bytes), month, day, weekday, hour, minute, second, nanoseconds (four bytes)."""
    year, month, day, _, hour, minute, second, ns = unpack(">HBBBBBBI", raw)
    if ns > 999_999_999 or not 1970 <= year <= 2262:
        raise ValueError("no DTL")
    return _since(datetime(year, month, day, hour, minute, second, tzinfo=UTC), ns)


def _encode_dtl(ns: int) -> bytes:
    moment, rest = _split(ns)
    if not 1970 <= moment.year <= 2262:
        raise ValueError("DTL holds the years 1970 to 2262")
    return pack(
        ">HBBBBBBI",
        moment.year, moment.month, moment.day, _weekday(moment), moment.hour, moment.minute, moment.second, rest,
    )  # fmt: skip


def _decode_ldt(raw: bytes) -> int:
    """LDT: nanoseconds since 1970, signed, eight bytes."""
    return int.from_bytes(raw, "big", signed=True)


def _encode_ldt(ns: int) -> bytes:
    try:
        return ns.to_bytes(8, "big", signed=True)
    except OverflowError as error:
        raise ValueError("LDT holds the years 1677 to 2262") from error


def _decode_date(raw: bytes) -> int:
    """DATE: days since 1990-01-01."""
    days = int.from_bytes(raw, "big") + _FIRST_DATE
    if days > _LAST_DATE:
        raise ValueError("past the last date")
    return days * _DAY * 1_000_000_000


def _encode_date(ns: int) -> bytes:
    days, rest = divmod(ns, _DAY * 1_000_000_000)
    if rest or not _FIRST_DATE <= days <= _LAST_DATE:
        raise ValueError("DATE holds whole days from 1990-01-01 to 2168-12-31")
    return (days - _FIRST_DATE).to_bytes(2, "big")


MOMENTS: Final[dict[Encoding, Moment]] = {
    Encoding.DATE_AND_TIME: Moment(_decode_dt, _encode_dt, 3),
    Encoding.DTL: Moment(_decode_dtl, _encode_dtl, 9),
    Encoding.LDT: Moment(_decode_ldt, _encode_ldt, 9),
    Encoding.DATE: Moment(_decode_date, _encode_date, -1),
}


def format_moment(ns: int, digits: int) -> str:
    """ISO 8601 without a zone: ``2026-03-01T08:15:00.250``, or the date alone when ``digits`` is -1."""
    moment, rest = _split(ns)
    if digits < 0:
        return moment.strftime("%Y-%m-%d")
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest // 10 ** (9 - digits):0{digits}d}"


def parse_moment(text: str) -> int:
    """Read what `format_moment` writes, with fewer digits too. Raises ValueError."""
    head, _, fraction = text.partition(".")
    if len(fraction) > 9 or (fraction and not fraction.isdecimal()):
        raise ValueError(f"{text!r} has no fraction of a second that fits")
    moment = datetime.fromisoformat(head)
    if moment.tzinfo is not None:
        raise ValueError(f"{text!r} has a zone, and the clock of the CPU has none")
    return _since(moment.replace(tzinfo=UTC), int(fraction.ljust(9, "0")))


def _decode_time(raw: bytes) -> int:
    """TIME: ms, signed, four bytes."""
    return int.from_bytes(raw, "big", signed=True)


def _encode_time(ms: int) -> bytes:
    try:
        return ms.to_bytes(4, "big", signed=True)
    except OverflowError as error:
        raise ValueError("TIME holds 24 days, 20 hours at most") from error


def _decode_tod(raw: bytes) -> int:
    """TIME_OF_DAY: ms since midnight."""
    ms = int.from_bytes(raw, "big")
    if ms >= DAY_MS:
        raise ValueError("past midnight")
    return ms


def _encode_tod(ms: int) -> bytes:
    if not 0 <= ms < DAY_MS:
        raise ValueError("a day has 86,400,000 ms")
    return ms.to_bytes(4, "big")


def _decode_s5(raw: bytes) -> int:
    """S5TIME: bits 12 and 13 the time base, below them three digits BCD."""
    base, hundreds = raw[0] >> 4, raw[0] & 15
    if base > 3 or hundreds > 9:
        raise ValueError("no S5TIME")
    return (hundreds * 100 + _bcd(raw[1])) * _S5_BASES[base]


def _encode_s5(ms: int) -> bytes:
    for base, unit in enumerate(_S5_BASES):
        count, rest = divmod(ms, unit)
        if 0 <= count <= 999 and not rest:
            return bytes((base << 4 | count // 100, _to_bcd(count % 100)))
    raise ValueError("S5TIME holds 0 to 9,990 s in three digits of 10 ms, 100 ms, 1 s or 10 s")


SPANS: Final[dict[Encoding, Span]] = {
    Encoding.TIME: Span(_decode_time, _encode_time),
    Encoding.TOD: Span(_decode_tod, _encode_tod),
    Encoding.S5TIME: Span(_decode_s5, _encode_s5),
}


def format_time_of_day(ms: int) -> str:
    """``08:15:00.250``."""
    seconds, ms = divmod(ms, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{ms:03d}"


def parse_time_of_day(text: str) -> int:
    """Read what `format_time_of_day` writes. Raises ValueError."""
    return (parse_moment(f"1970-01-01T{text}") + 500_000) // 1_000_000
