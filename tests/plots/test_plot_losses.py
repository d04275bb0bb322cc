"""The picture of how a factor model learned."""

import numpy as np
import pytest

from mixmend.errors import DataError
from mixmend.plots import plot_losses

HISTORY = [
    {"iteration": 2 * i, "train_rmse": 1.0 / i, "validation_rmse": 1.0 + (i - 3) ** 2 / 50}
    for i in range(1, 7)
]


def test_both_errors_are_drawn_and_the_best_is_marked():
    ax = plot_losses(HISTORY, title="restaurants")
    training, validation, mark = ax.get_lines()
    assert training.get_xdata().tolist() == [2, 4, 6, 8, 10, 12]
    assert np.allclose(training.get_ydata(), [1 / i for i in range(1, 7)])
    assert [line.get_label() for line in (training, validation)] == ["training", "validation"]
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (6, 1.0)
    assert ax.texts[0].get_text() == "1.0000 at step 6"
    assert ax.get_title(loc="left") == "restaurants"


def test_without_validation_there_is_one_curve():
    ax = plot_losses([{"iteration": 1, "train_rmse": 0.5}])
    (training,) = ax.get_lines()
    assert training.get_marker() == "o"
    assert not ax.texts


def test_an_empty_history_is_said():
    with pytest.raises(DataError, match=r"^there is nothing to draw: history holds no evaluatio"):
        plot_losses([])
