"""The inventory as a page: figures, a picture of where the bytes lie, a table. One file, nothing loaded from elsewhere."""

from __future__ import annotations

from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --bar: #0b62c4; --muted: #565e6c; --line: #d5d9e0 }
@media (prefers-color-scheme: dark) { :root { --bar: #6fb0ff; --muted: #a3acba; --line: #39414e } }
body { font: 14px/20px system-ui, sans-serif; margin: 24px auto; max-width: 1000px; padding: 0 16px }
h1 { font-size: 24px } h2 { font-size: 16px; margin-top: 32px }
dl { display: flex; flex-wrap: wrap; gap: 8px 32px } dt { color: var(--muted) } dd { margin: 0; font-size: 20px; font-weight: 600 }
table { border-collapse: collapse; width: 100% } th, td { border-bottom: 1px solid var(--line); padding: 4px 8px; text-align: left }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } svg text { fill: currentColor; font: 12px system-ui } rect { fill: var(--bar) }
.muted { color: var(--muted) } div.wide { overflow-x: auto }
"""


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def page(found: dict[str, Any]) -> bytes:
    """The report of an inventory, UTF-8."""
    distributions = sorted(found["distributions"], key=lambda d: -d["size"])
    facts = {
        "Distributions": str(len(distributions)),
        "Files hashed": f"{found['files']:,}",
        "Bytes": size(found["bytes"]),
        "Unmet requirements": str(len(found["unmet"])),
        "Cycles": str(len(found["cycles"])),
        "Changed since installed": str(len(found["changed"])),
    }
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>Inventory of {escape(found['environment']['prefix'])}</title><style>{_STYLE}</style>",
        f"<h1>What is installed here</h1><p class=muted>Python {escape(found['environment']['python'])}, "
        f"{escape(found['environment']['platform'])}, {escape(found['environment']['prefix'])}</p>",
        "<dl>"
        + "".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in facts.items())
        + "</dl>",
        "<h2>Where the bytes lie</h2>",
        picture([(d["name"], d["size"]) for d in distributions[:25]]),
        _list(
            "Unmet requirements", found["unmet"], "Every requirement of every distribution is met."
        ),
        _list(
            "Cycles",
            [" → ".join([*c, c[0]]) for c in found["cycles"]],
            "No distribution needs itself.",
        ),
        _list(
            "Changed since installed",
            found["changed"],
            "Every file is as its installer recorded it.",
        ),
        "<h2>Licences</h2>" + _table(["Licence", "Distributions"], _by_licence(distributions)),
        "<h2>Distributions</h2>"
        + _table(
            ["Name", "Version", "Licence", "Files", "Size", "Needs"],
            [
                [
                    d["name"],
                    d["version"],
                    d["licence"],
                    f"{d['files']:,}",
                    size(d["size"]),
                    ", ".join(found["edges"][d["name"]]),
                ]
                for d in distributions
            ],
        ),
    ]
    return "\n".join(parts).encode()


def picture(bars: list[tuple[str, int]]) -> str:
    """Horizontal bars, largest first, as SVG."""
    largest = max((value for _, value in bars), default=0) or 1
    rows = []
    for row, (name, value) in enumerate(bars):
        y = row * 20
        width = 560 * value / largest
        rows.append(
            f"<text x=230 y={y + 14} text-anchor=end>{escape(name)}</text><rect x=240 y={y + 3} width={width:.1f} height=14 rx=2 />"
            f"<text x={246 + width:.1f} y={y + 14}>{size(value)}</text>"
        )
    height = 20 * len(bars)
    return f"<div class=wide><svg width=900 height={height} viewBox='0 0 900 {height}' role=img aria-label='Size by distribution'>{''.join(rows)}</svg></div>"


def _by_licence(distributions: list[dict[str, Any]]) -> list[list[str]]:
    names: dict[str, list[str]] = {}
    for dist in distributions:
        names.setdefault(dist["licence"], []).append(dist["name"])
    return [
        [licence, ", ".join(sorted(found))]
        for licence, found in sorted(names.items(), key=lambda i: -len(i[1]))
    ]


def _list(title: str, items: list[str], none: str) -> str:
    body = (
        "<ul>" + "".join(f"<li>{escape(item)}" for item in items) + "</ul>"
        if items
        else f"<p class=muted>{none}</p>"
    )
    return f"<h2>{title}</h2>{body}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    numeric = {"Files", "Size"}
    cells = ["n" if title in numeric else "t" for title in head]
    lines = ["<tr>" + "".join(f"<th class={c}>{h}" for c, h in zip(cells, head, strict=True))]
    lines += [
        "<tr>" + "".join(f"<td class={c}>{escape(v)}" for c, v in zip(cells, row, strict=True))
        for row in rows
    ]
    return f"<div class=wide><table>{''.join(lines)}</table></div>"
