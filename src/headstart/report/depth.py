"""Accuracy by depth as one page: a drawing without scripts, and the same numbers as a table."""

from __future__ import annotations

from html import escape
from typing import Any

from headstart.report.figures import scale

WIDTH, ROW, LEFT, RIGHT, TOP = 760, 34, 210, 70, 16  # drawing units, about one pixel each
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 800px; margin: 2rem auto; padding: 0 1rem; color: #1c2430; background: #fff }
h1 { font-size: 1.5rem; margin-bottom: .2rem } p { margin: .4rem 0 } code { background: #eef1f5; padding: .1rem .3rem }
svg { width: 100%; height: auto; margin: 1rem 0 } svg text { font: 13px system-ui, sans-serif; fill: currentColor }
.grid { stroke: #d5dbe3 } .line { fill: none; stroke: #1d63b8; stroke-width: 2 } .span { stroke: #1d63b8; stroke-width: 1.5 }
.dot { fill: #1d63b8 } .best { fill: #c2480b } .box { overflow-x: auto } table { border-collapse: collapse; width: 100% }
td, th { text-align: right; white-space: nowrap; padding: .25rem .6rem; border-bottom: 1px solid #d5dbe3 } td:first-child, th:first-child { text-align: left }
th { white-space: normal }
@media (prefers-color-scheme: dark) { body { color: #e6e9ee; background: #14181f } code { background: #262d38 }
.grid, td, th { stroke: #3a4452; border-color: #3a4452 } .line, .span { stroke: #7db3f5 } .dot { fill: #7db3f5 } .best { fill: #ff9d66 } }
"""


def page(layers: dict[str, Any]) -> str:
    """The page of what ``depths.Layers.to_dict`` gives. Names come from whoever made the model: all are escaped."""
    depths, best = layers["depths"], layers["best"]
    rows = "".join(
        f"<tr><td>{escape(depth['stage'])}</td><td>{depth['dim']}</td><td>{depth['parameters']:,}</td>"
        f"<td>{depth['accuracy']:.3f}</td><td>{depth['interval'][0]:.3f} to {depth['interval'][1]:.3f}</td></tr>\n"
        for depth in depths
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Accuracy by depth</title><style>{STYLE}</style></head>
<body><h1>Where the transfer lives</h1>
<p>{escape(layers["model"])} on {layers["samples"]:,} training samples of {layers["classes"]} classes ({escape(layers["data"])}).</p>
<p>From <b>{escape(best)}</b> on, a linear probe is as good as at any depth, up to one standard error.
<code>--tuning auto</code> takes <code>{escape(layers["tuning"])}</code>.</p>
{drawing(depths, best)}
<div class="box"><table><thead><tr><th>stage, early to late</th><th>numbers a sample</th><th>parameters</th><th>accuracy</th><th>95 % interval</th></tr>
</thead><tbody>
{rows}</tbody></table></div>
<p>Cross-validated accuracy of a ridge classifier on what each stage outputs, averaged over positions (Alain and Bengio 2016).
The test samples were not looked at.</p></body></html>
"""


def drawing(depths: list[dict[str, Any]], best: str) -> str:
    """The stages from top to bottom, early to late; accuracy to the right, with its interval."""
    axis = scale([100 * value for depth in depths for value in depth["interval"]])
    height = TOP + ROW * len(depths) + 30

    def across(value: float) -> float:
        return round(LEFT + axis.at(100 * value) / 100 * (WIDTH - LEFT - RIGHT), 1)

    parts = []
    for tick in axis.ticks:
        x = across(tick / 100)
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{height - 30}"/>')
        parts.append(f'<text x="{x}" y="{height - 10}" text-anchor="middle">{tick:g} %</text>')
    points = [(across(depth["accuracy"]), TOP + ROW * number + ROW / 2) for number, depth in enumerate(depths)]
    parts.append(f'<polyline class="line" points="{" ".join(f"{x},{y}" for x, y in points)}"/>')
    for (x, y), depth in zip(points, depths, strict=True):
        low, high = (across(value) for value in depth["interval"])
        kind = "best" if depth["stage"] == best else "dot"
        name = depth["stage"] if len(depth["stage"]) < 28 else depth["stage"][:26] + "\N{HORIZONTAL ELLIPSIS}"
        parts.append(f'<text x="{LEFT - 12}" y="{y + 4}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<line class="span" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>')
        parts.append(f'<circle class="{kind}" cx="{x}" cy="{y}" r="5"><title>{escape(depth["stage"])}</title></circle>')
        parts.append(f'<text x="{max(high, x) + 8}" y="{y + 4}">{100 * depth["accuracy"]:.1f}</text>')
    label = "Accuracy of a linear probe by depth, early stages at the top"
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
