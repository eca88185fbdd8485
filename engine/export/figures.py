"""Figures as a person writes them: money, time, large numbers, percent. The same on pages and in reports."""

from __future__ import annotations


def short(number: float) -> str:
    """Write a large number briefly.

    >>> short(950), short(15_300), short(2_500_000)
    ('950', '15.3k', '2.5M')
    """
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return f"{number:.0f}"


def dollars(amount: float) -> str:
    """Write US dollars with as many digits as matter.

    >>> dollars(0), dollars(0.00042), dollars(1.5)
    ('$0', '$0.00042', '$1.50')
    """
    if not amount:
        return "$0"
    return f"${amount:.2f}" if amount >= 0.1 else f"${amount:.2g}"


def price(amount: float | None) -> str:
    """Write what something cost, in words where there is no figure.

    >>> price(None), price(0), price(1.5)
    ('price not known', 'free', '$1.50')
    """
    return "price not known" if amount is None else dollars(amount) if amount else "free"


def prompts_tried(total: int) -> str:
    """Write how many prompts a search chose from; the starting one is counted.

    >>> prompts_tried(12), prompts_tried(2)
    ('12 prompts (the starting one and 11 new ones)', '2 prompts (the starting one and a new one)')
    """
    return (
        f"{total:,} prompts (the starting one and {'a new one' if total == 2 else f'{total - 1:,} new ones'})"
    )


def duration(seconds: float) -> str:
    """Write a stretch of time.

    >>> duration(4.2), duration(75), duration(7320)
    ('4 s', '1 min 15 s', '2 h 2 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def percent(share: float | None, digits: int = 1) -> str:
    """Write a share of 1 as percent.

    >>> percent(0.6543), percent(None)
    ('65.4 %', 'not known')
    """
    return "not known" if share is None else f"{100 * share:.{digits}f} %"


def moment(seconds: float | None) -> str:
    """Write a short stretch of time, milliseconds where it is under a second.

    >>> moment(0.0004), moment(0.25), moment(3.2), moment(None)
    ('under 1 ms', '250 ms', '3 s', 'not known')
    """
    if seconds is None:
        return "not known"
    if seconds < 0.001:
        return "under 1 ms"
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else duration(seconds)
