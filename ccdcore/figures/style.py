"""What all pictures share: colours and marks, sizes, labels; and their bytes as PNG.

Every function returns a matplotlib `Figure` of its own, so that they may run in any thread; `png` gives its bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from ccdcore.text import unit_text

Image = npt.NDArray[Any]
COLOURS = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"
"""Okabe and Ito's palette, told apart by colour-blind readers."""
MARKERS = "o", "s", "^", "D", "v", "P", "X"

_WIDTH = 9.0
"""Inches."""
_DPI = 100
_ENOUGH = 2**22
"""Values that tell a mean or a scatter for the eye; more are not looked at at once."""
_MOST_NAMED = 8
"""Amplifiers that a legend names."""


def png(figure: Figure) -> bytes:
    """Return a figure as PNG of 128 colours, a third of the size of a full one."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    picture = PillowImage.fromarray(np.asarray(canvas.buffer_rgba()))  # type: ignore[no-untyped-call]
    stream = io.BytesIO()
    by = PngInfo()
    by.add_text("Software", "ccdwatch")
    picture.convert("RGB").quantize(128).save(stream, "PNG", optimize=True, pnginfo=by)
    return stream.getvalue()


def thumbnail(picture: bytes, width: int = 480) -> bytes | None:
    """Return a picture as a PNG of at most so many pixels across and of 32 colours; None where it is none."""
    try:
        with PillowImage.open(io.BytesIO(picture), formats=["PNG"]) as whole:
            small = whole.convert("RGB")
    except (OSError, SyntaxError, ValueError):  # as Pillow finds broken ones
        return None
    small.thumbnail((width, 4 * width))
    stream = io.BytesIO()
    small.quantize(32).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _scale(unit: str) -> str:
    return unit_text(unit) or "relative response"


def _label(quantity: str, unit: str) -> str:
    return f"{quantity} ({_scale(unit)})"


def name_curves(axis: Axes, legend: Callable[..., Any] | None = None, **about: Any) -> None:
    """Name the curves, those of amplifiers as far as there is room.

    Parameters
    ----------
    axis : Axes
        Where they are drawn.
    legend : callable, optional
        What draws the names: that of the axis, unless told otherwise.
    about : object
        Its options.
    """
    named = list(zip(*axis.get_legend_handles_labels(), strict=True))
    amplifiers = [one for one in named if one[1].startswith("amplifier ")]
    shown = [one for one in named if one not in amplifiers[_MOST_NAMED:]]
    if (more := len(amplifiers) - _MOST_NAMED) > 0:
        shown.append((Line2D([], [], linestyle=""), f"and {more} more amplifiers"))
    (legend or axis.legend)([handle for handle, _ in shown], [label for _, label in shown], **about)


def _say(axis: Axes, text: str) -> None:
    axis.text(0.5, 0.5, text, transform=axis.transAxes, ha="center", va="center")
