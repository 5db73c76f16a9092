"""One plot a path, as a small SVG: bars for rows and latencies, lines for curves and memory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["draw"]

_OURS, _FLOOR = "#1b6ca8", "#c9ccd1"
_SIZE = (6.4, 3.4)


def draw(title: str, row: Mapping[str, Any], file: Path) -> None:
    """Draw what a program printed."""
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "threadline", "font.size": 9, "font.family": "sans-serif"}):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        _fill(axes, row)
        figure.savefig(file, metadata={"Date": None, "Creator": None})
    # Matplotlib ends lines with spaces, which nobody wants in a repository.
    file.write_text("\n".join(line.rstrip() for line in file.read_text().splitlines()) + "\n")


def _fill(axes: Axes, row: Mapping[str, Any]) -> None:
    if "points" in row:
        _curve(axes, row)
    elif "mb_at_tenths" in row:
        _memory(axes, row)
    elif "rows" in row:
        _latency(axes, row)
    else:
        results = row.get("results", row)
        _rates(axes, {row["path"]: results} if "ratio" in results else results)


def _curve(axes: Axes, row: Mapping[str, Any]) -> None:
    points = row["points"]
    at = [point["x"] for point in points]
    axes.plot(at, [point["rate"] for point in points], marker="o", color=_OURS)
    axes.fill_between(at, [p["lowest"] for p in points], [p["highest"] for p in points], color=_OURS, alpha=0.15, linewidth=0)
    axes.set_xscale("log")
    axes.set_xticks(at, [f"{x:,}" for x in at], minor=False)
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel(row["curve"])
    axes.set_ylabel("a second")


def _memory(axes: Axes, row: Mapping[str, Any]) -> None:
    tenths = row["mb_at_tenths"]
    axes.plot([row["events"] * n / (len(tenths) - 1) for n in range(len(tenths))], tenths, marker="o", color=_OURS)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("events")
    axes.set_ylabel("MB resident")


def _latency(axes: Axes, row: Mapping[str, Any]) -> None:
    names = [f"{one['per_second']:g}/s" for one in row["rows"]]
    for shift, figure, colour in ((-0.2, "p50_ms", _FLOOR), (0.2, "p99_ms", _OURS)):
        bars = axes.bar([n + shift for n in range(len(names))], [one[figure] for one in row["rows"]], 0.38, color=colour, label=figure[:3])
        axes.bar_label(bars, fmt="%.0f")
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel("ms")
    axes.legend(frameon=False)


def _rates(axes: Axes, results: Mapping[str, Mapping[str, float]]) -> None:
    names = list(results)
    for shift, figure, colour in ((-0.2, "floor_per_second", _FLOOR), (0.2, "ours_per_second", _OURS)):
        label = "bare clients" if shift < 0 else "ours"
        axes.barh([n + shift for n in range(len(names))], [results[name][figure] for name in names], 0.38, color=colour, label=label)
    for place, name in enumerate(names):
        axes.annotate(f" {results[name]['ratio']}", (results[name]["ours_per_second"], place + 0.2), va="center")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("a second")
    axes.legend(frameon=False)
