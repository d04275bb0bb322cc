"""Pictures of data with holes, of mixtures fitted to them, and of what fills the holes.

Every function draws on the ``ax`` it is given, or on a figure of its own, and returns what it
drew on; none touches pyplot's state, so that they work in servers and without a display.
Save with ``ax.figure.savefig("picture.png")``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixmend.plots.completion import plot_completion
    from mixmend.plots.curves import plot_calibration, plot_criterion
    from mixmend.plots.losses import plot_losses
    from mixmend.plots.mixture import MixtureView, plot_kmeans_and_em, plot_mixture
    from mixmend.plots.palette import component_colors
    from mixmend.plots.trace import plot_trace

_HOMES = {
    "MixtureView": "mixmend.plots.mixture",
    "component_colors": "mixmend.plots.palette",
    "plot_calibration": "mixmend.plots.curves",
    "plot_completion": "mixmend.plots.completion",
    "plot_criterion": "mixmend.plots.curves",
    "plot_kmeans_and_em": "mixmend.plots.mixture",
    "plot_losses": "mixmend.plots.losses",
    "plot_mixture": "mixmend.plots.mixture",
    "plot_trace": "mixmend.plots.trace",
}

__all__ = [
    "MixtureView",
    "component_colors",
    "plot_calibration",
    "plot_completion",
    "plot_criterion",
    "plot_kmeans_and_em",
    "plot_losses",
    "plot_mixture",
    "plot_trace",
]


def __getattr__(name: str) -> Any:
    # matplotlib costs a third of a second: it is imported with the first picture
    if name not in _HOMES:
        raise AttributeError(f"module 'mixmend.plots' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
