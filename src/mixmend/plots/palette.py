"""Colours that stay apart: for twelve components, on white, and for colour-blind readers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

INK = "#222222"
GREY = "#6B6B6B"
FAINT = "#C9CDD2"
PAPER = "#FFFFFF"

# Found by exchange search over the sRGB cube: the smallest OKLab distance between any two of
# the twelve is at least 0.085 for full colour vision and for each of the three dichromacies
# (Machado, Oliveira & Fernandes 2009, severity 1), at lightness that shows on white. Ordered
# so that the first few are also the furthest apart. The tests measure all of that again.
COMPONENT_COLORS = (
    "#0072B2",
    "#D55E00",
    "#790D43",
    "#D7A100",
    "#009E73",
    "#A179F2",
    "#79511B",
    "#51E486",
    "#2836AE",
    "#D7AEFF",
    "#AE2879",
    "#86BCAE",
)


def component_colors(n_components: int) -> list[str]:
    """Colours of the components, in order, as ``#RRGGBB``.

    Parameters
    ----------
    n_components : int
        How many. Up to twelve are told apart by colour alone, colour-blind readers
        included; further ones are darker, then lighter, shades of the same twelve, which
        the numbers written beside the components tell apart.

    Returns
    -------
    list of str, length n_components

    Examples
    --------
    >>> component_colors(3)
    ['#0072B2', '#D55E00', '#790D43']
    >>> component_colors(13)[12]
    '#004A74'
    """
    shades = (None, (0.0, 0.35), (1.0, 0.40), (0.0, 0.55), (1.0, 0.60))
    colors = []
    for k in range(n_components):
        turn, which = divmod(k, len(COMPONENT_COLORS))
        shade = shades[turn % len(shades)]
        color = COMPONENT_COLORS[which]
        colors.append(color if shade is None else mix(color, *shade))
    return colors


def mix(color: str, towards: float, share: float) -> str:
    """``color`` moved by ``share`` of the way to black (``towards=0``) or white (1)."""
    return to_hex((1 - share) * to_rgb(color) + share * towards)


def dark(color: str) -> str:
    """Return a darker shade of ``color``, for lines over points of that colour."""
    return readable(mix(color, 0.0, 0.35), 5.5)


def readable(color: str, contrast: float = 4.5) -> str:
    """``color``, darkened as far as text on white needs: a WCAG contrast of at least 4.5."""
    out = color
    for step in range(1, 20):
        if 1.05 / (luminance(out) + 0.05) >= contrast:
            break
        out = mix(color, 0.0, 0.05 * step)
    return out


def luminance(color: str) -> float:
    """Relative luminance of an sRGB colour (WCAG 2), 0 for black and 1 for white."""
    rgb = to_rgb(color)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def to_rgb(color: str) -> NDArray[np.float64]:
    """``#RRGGBB`` as three numbers from 0 to 1."""
    return np.array([int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)])


def to_hex(rgb: NDArray[np.float64]) -> str:
    """Three numbers from 0 to 1 as ``#RRGGBB``."""
    return "#" + "".join(f"{round(255 * float(part)):02X}" for part in rgb)
