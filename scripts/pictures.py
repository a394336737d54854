"""Pictures of the dashboards, drawn from scraped data. `make pictures` writes them into docs/pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.axes import Axes

from scripts.dashboards import BOARDS, Board, Panel

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "pictures"
COLUMNS = 3
STEP = 5.0
"""Seconds between two points."""
Course = Callable[[str, float], Sequence[tuple[dict[str, str], Sequence[tuple[float, str]]]]]
"""Returns the series of a query, in steps of so many seconds."""
_WIDTH, _HEIGHT = 4.2, 2.4


def draw(course: Course) -> None:
    """Write one picture for each dashboard."""
    FOLDER.mkdir(exist_ok=True)
    mpl.use("agg")
    with mpl.rc_context({"font.size": 7, "axes.grid": True, "grid.alpha": 0.3}):
        for board in BOARDS:
            _draw(board, course)


def _draw(board: Board, course: Course) -> None:
    panels = [panel for row in board.rows.values() for panel in row if not panel.number]
    rows = -(-len(panels) // COLUMNS)
    size = (_WIDTH * COLUMNS, _HEIGHT * rows)
    figure, grid = pyplot.subplots(rows, COLUMNS, figsize=size, squeeze=False, layout="constrained")
    for axes in grid.flat[len(panels) :]:
        axes.axis("off")
    for panel, axes in zip(panels, grid.flat, strict=False):
        _draw_panel(panel, axes, course)
    figure.suptitle(board.title)
    figure.savefig(FOLDER / f"dashboard-{board.name}.png", dpi=80, metadata={"Software": None})
    pyplot.close(figure)


def _draw_panel(panel: Panel, axes: Axes, course: Course) -> None:
    for query in panel.queries:
        for labels, points in course(query.expression, STEP):
            first = points[0][0]
            times = [time - first for time, _ in points]
            axes.plot(times, [float(value) for _, value in points], label=_legend(query.legend, labels))
    axes.set_title(f"{panel.title} ({panel.unit})" if panel.unit != "short" else panel.title)
    axes.set_xlabel("seconds")
    axes.set_ylim(bottom=0)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="upper left", fontsize=6)


def _legend(legend: str, labels: dict[str, str]) -> str | None:
    text = legend
    for name in ("state", "reason", "namespace", "result", "code", "kind", "verb", "verdict", "pod", "stage"):
        text = text.replace(f"{{{{{name}}}}}", labels.get(name, ""))
    return text.strip() or None
