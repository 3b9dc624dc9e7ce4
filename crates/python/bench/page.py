"""The measurement as a page and as a picture."""

from __future__ import annotations

import datetime
from typing import Any

import pinfold

TEXT = """\
# What the guard costs in Python

The same requests with each library as it is and with its module of Pinfold, in one process, in turn. The server is on
loopback and answers a kilobyte at once: whatever a network or a real server adds makes these ratios better. The URL is
an address, so that neither side looks a name up. How to use it is in [python.md](python.md).

Times and rates depend on the machine. Client and server share its processors. Compare rows, not machines.

<!-- measured: begin, by `crates/python/bench/cost.py` -->
{measured}
<!-- measured: end -->

## What is measured

- *Kept connection*: one connection for all requests, each of which is judged. *New connection*: one for each request.
  `urllib.request` keeps none.
- A ratio is that of a round, in which plain and guarded did the same number of requests one after the other; the table
  has the median of the rounds, and the least and the most.
- *Added* is the difference of the median times of a request.
- The guard has the shipped policy and no settings. Every request is judged twice: the URL, and the address.
- `Guard.check` does all that a request does before it connects.
- Memory is that of a fresh process: what is resident after each step, and what a forked worker has for itself.

## How to run it

With the release build of the package installed, and `requests`, `httpx`, `aiohttp` and `urllib3` (without one of them
its rows are missing):

```console
cd crates/python
maturin build --release --out dist
pip install dist/*.whl requests httpx aiohttp urllib3
python bench/cost.py          # writes docs/python-cost.md and docs/python-cost.svg
python bench/cost.py --tiny   # shows that it runs
```
"""

BUSY = "Other programs were running at the time, as the load averages and the spreads show: read the ratios as rough."


def text(figures: Any, date: datetime.date) -> str:
    """The whole page."""
    size = figures.size
    parts = [
        f"Measured on {date.isoformat()}: {figures.machine}.\n"
        f"pinfold {pinfold.__version__}. One run of {figures.seconds:.0f} s, {size.rounds} rounds of "
        f"{size.requests} requests.\n"
        f"Load average of the machine before the run: {figures.load[0]}; after it: {figures.load[1]}."
        + ("" if quiet(figures) else f"\n\n{BUSY}"),
        "![Requests a second of the plain library's](python-cost.svg)",
        "## Requests a second, of the plain library's\n\n" + table(ratios(figures)),
        "## Threads\n\n" + table(threads(figures)),
        "## Time of a request\n\n" + table(times(figures)),
        "## The guard itself\n\n" + table(itself(figures)),
        "## Memory\n\n" + table(memory(figures)),
    ]
    return TEXT.format(measured="\n\n".join(parts))


def quiet(figures: Any) -> bool:
    """Whether nothing else was running, nearly."""
    return float(figures.load[0].split(",")[0]) <= 1.5


def ratios(figures: Any) -> list[list[str]]:
    """The same on every machine, more or less."""
    rows = [["", "kept connection", "least to most", "new connection", "least to most"]]
    for name, opened in figures.opened.items():
        kept = figures.kept.get(name)
        rows.append([name, *(ratio(kept) if kept else ["", ""]), *ratio(opened)])
    return rows


def ratio(pair: Any) -> list[str]:
    """A ratio and its spread."""
    least, most = pair.spread
    return [f"{pair.rate:.2f}x", f"{least:.2f}x to {most:.2f}x"]


def threads(figures: Any) -> list[list[str]]:
    """What threads do to it."""
    rows = [["requests, kept connections", "of the plain library's", "least to most", "plain/s", "guarded/s"]]
    for name, pair in (("1 thread", figures.alone), ("8 threads", figures.threads)):
        rows.append([name, *ratio(pair), rate(pair.plain), rate(pair.guarded)])
    return rows


def times(figures: Any) -> list[list[str]]:
    """Microseconds."""
    rows = [["", "kept, plain", "kept, guarded", "added", "new, plain", "new, guarded", "added"]]
    for name, opened in figures.opened.items():
        kept = figures.kept.get(name)
        rows.append([name, *(three(kept) if kept else [""] * 3), *three(opened)])
    return rows


def three(pair: Any) -> list[str]:
    """Plain, guarded, and what is between them."""
    return [micros(median(pair.plain)), micros(median(pair.guarded)), f"+{micros(pair.added)}"]


def itself(figures: Any) -> list[list[str]]:
    """Without a library."""
    rows = [["", ""]]
    rows += [[f"`Guard.check`, {name}", f"{number:,.0f}/s"] for name, number in figures.checks.items()]
    rows += [[f"a guard is made, {name}", f"{seconds * 1000:,.0f} ms"] for name, seconds in figures.made.items()]
    return rows


def memory(figures: Any) -> list[list[str]]:
    """A fresh process, and forked workers."""
    steps, workers = figures.memory["steps"], figures.memory["workers"]
    return [
        ["", "MiB"],
        ["Python with nothing imported", f"{steps['interpreter']:.0f}"],
        ["`import pinfold`", f"+{steps['import'] - steps['interpreter']:.0f}"],
        ["an idle guard, with a code cache", f"+{steps['guard'] - steps['import']:.0f}"],
        ["its first check", f"+{steps['used'] - steps['guard']:.1f}"],
        ["own memory of each of 4 forked workers that do not use it", f"{workers['without']:.1f}"],
        ["own memory of each of 4 forked workers that use it", f"{workers['with']:.1f}"],
    ]


def table(rows: list[list[str]]) -> str:
    """A table whose columns line up."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    head, *body = [
        [_cell(cell, width, at) for at, (cell, width) in enumerate(zip(row, widths, strict=True))] for row in rows
    ]
    rule = ["-" * (width + 2) if at == 0 else "-" * (width + 1) + ":" for at, width in enumerate(widths)]
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join(rule)}|", *(f"| {' | '.join(row)} |" for row in body)]
    return "\n".join(lines)


def picture(figures: Any) -> str:
    """Bars: requests a second of the plain library's."""
    groups = [("kept connection", figures.kept), ("new connection", figures.opened)]
    parts, top = [], 48.0
    for title, pairs in groups:
        parts.append(f'<text x="12" y="{top:.1f}" font-weight="bold">{title}</text>')
        for name, pair in pairs.items():
            top += 20
            parts += _bar(name, pair.rate, top)
        top += 34
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {top:.0f}" font-family="sans-serif" '
        'font-size="12" fill="#222">\n<rect width="100%" height="100%" fill="#fff"/>\n'
        '<text x="12" y="22" font-size="15">Requests a second, of the plain library\'s</text>'
    )
    return "\n".join([head, *parts, "</svg>\n"])


def _bar(name: str, rate: float, top: float) -> list[str]:
    length = 480 * min(rate, 1.1)
    return [
        f'<text x="24" y="{top:.1f}">{name}</text>',
        f'<rect x="140" y="{top - 12:.1f}" width="480.0" height="16.0" fill="#eeeeee"/>',
        f'<rect x="140" y="{top - 12:.1f}" width="{length:.1f}" height="16.0" fill="#2f6ea5"/>',
        f'<text x="{146 + max(length, 480):.1f}" y="{top:.1f}">{rate:.2f}x</text>',
    ]


def _cell(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column == 0 else cell.rjust(width)


def rate(seconds: list[float]) -> str:
    """Per second."""
    return f"{1 / median(seconds):,.0f}"


def micros(seconds: float) -> str:
    """Microseconds."""
    return f"{seconds * 1e6:,.0f} µs"


def median(numbers: list[float]) -> float:
    """The middle."""
    return sorted(numbers)[len(numbers) // 2]
