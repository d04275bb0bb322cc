from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_allclose
from scipy.stats import binom

from mixmend.errors import DataError
from mixmend.plots import plot_calibration, plot_criterion, plot_trace

THIN = "\N{THIN SPACE}"


def line(ax, label):
    return next(a for a in ax.lines if a.get_label() == label)


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# ------------------------------------------------------------------ traces


def test_a_single_run_is_drawn_as_it_is():
    ax = plot_trace([-90.0, -50.0, -49.0], converged=True, title="One")
    assert_allclose(line(ax, "_run 0").get_data(), [[1, 2, 3], [-90, -50, -49]])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "log-likelihood")
    assert ax.get_title(loc="left") == "One"
    assert legend(ax) == ["run 0: −49.00, 3 steps", "converged"]


def test_runs_end_in_marks_and_the_best_comes_first_and_boldest():
    ax = plot_trace({"a": [-9.0, -8.0], "b": [-9.5, -7.0, -6.5], "c": [-8.5]}, [True, False, True])
    assert legend(ax) == [
        "b: −6.5000, 3 steps",
        "a: −8.0000, 2 steps",
        "c: −8.5000, 1 step",
        "converged",
        "not converged",
    ]
    assert line(ax, "_end of a").get_marker() == "o"
    assert line(ax, "_end of b").get_marker() == "X"
    assert line(ax, "_end of b").get_xydata().tolist() == [[3.0, -6.5]]
    assert line(ax, "_b").get_linewidth() > line(ax, "_a").get_linewidth()
    assert line(ax, "_b").get_color() != line(ax, "_a").get_color()


def test_a_steep_start_is_drawn_as_the_gap_to_the_best():
    values = -1000.0 - 1e6 * 0.05 ** np.arange(12)
    other = values - 40.0
    ax = plot_trace([values, other])
    assert ax.get_yscale() == "log"
    assert ax.get_ylabel() == "log-likelihood: gap to the best, −1" + THIN + "000.00"
    drawn = line(ax, "_run 1").get_ydata()
    assert_allclose(drawn, values.max() - other)
    best = line(ax, "_run 0").get_ydata()
    assert_allclose(best[:-1], values.max() - values[:-1])
    assert 0 < best[-1] < best[-2]  # the best value itself, at the foot, which is labelled 0
    assert [text.get_text() for text in ax.texts] == ["0"]


def test_the_scale_can_be_chosen():
    values = -1000.0 - 1e6 * 0.05 ** np.arange(12)
    assert plot_trace(values, scale="linear").get_yscale() == "linear"
    assert plot_trace([-3.0, -2.0], scale="gap").get_yscale() == "log"
    assert plot_trace([-3.0, -2.0]).get_yscale() == "linear"
    assert plot_trace([-3.0, -3.0], scale="gap").get_yscale() == "linear"  # no gap to draw


def test_many_runs_are_grey_but_the_best_and_counted():
    ax = plot_trace([[-9.0, -5.0 - r] for r in range(20)], name="objective")
    assert len({line(ax, f"_run {r}").get_color() for r in range(20)}) == 2
    assert legend(ax)[-1] == "12 more"
    assert ax.get_ylabel() == "objective"
    few = plot_trace([[-9.0, -5.0 - r] for r in range(4)], labels=["p", "q", "r", "s"])
    assert len({line(few, f"_{name}").get_color() for name in "pqrs"}) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "there is nothing to draw: history holds no run."),
        (([[-1.0], []],), "run 1 must hold at least one step; got shape (0,)."),
        (([[-1.0, np.nan]],), "run 0 is not finite at step 2: nan."),
        (([[-1.0]], [True, False]), "converged must say it for every run (1); got 2 marks."),
        (([[-1.0]], None, ["a", "b"]), "labels must name every run (1); got 2."),
    ],
)
def test_bad_traces(arguments, message):
    with pytest.raises(DataError) as caught:
        plot_trace(*arguments)
    assert str(caught.value) == message


def test_bad_scale():
    with pytest.raises(DataError) as caught:
        plot_trace([-1.0], scale="log")
    assert str(caught.value) == "scale must be one of auto, linear, gap; got 'log'."


# ------------------------------------------------------------------ criteria


def test_the_best_of_the_runs_is_joined_and_the_least_chosen():
    ax = plot_criterion([3, 1, 2], [[7.0, 9.0], [20.0, 21.0], [8.0, 6.5]], title="Choice")
    assert_allclose(line(ax, "_line").get_data(), [[1, 2, 3], [20, 6.5, 7]])
    assert_allclose(line(ax, "_best").get_xydata(), [[2, 6.5]])
    assert [text.get_text() for text in ax.texts] == ["K = 2"]
    assert ax.get_ylabel() == "BIC, smaller is better (best of runs)"
    bars = ax.collections[0].get_segments()
    assert_allclose([bar[:, 1] for bar in bars], [[20, 21], [6.5, 8], [7, 9]])


def test_the_other_direction_and_the_mean():
    ax = plot_criterion(
        [1, 2], [[-3.0, -1.0], [-2.5, -1.2]], larger_is_better=True, summary="mean", name="held-out"
    )
    assert_allclose(line(ax, "_line").get_ydata(), [-2.0, -1.85])
    assert [text.get_text() for text in ax.texts] == ["K = 2"]
    assert ax.get_ylabel() == "held-out, larger is better (mean of runs)"
    best = plot_criterion([1, 2], [[-3.0, -1.0], [-2.5, -1.2]], larger_is_better=True)
    assert [text.get_text() for text in best.texts] == ["K = 1"]


def test_a_choice_of_ones_own_and_runs_without_value():
    mine = Figure().add_subplot()
    ax = plot_criterion([1, 2], [[4.0, np.nan], [3.0, 5.0]], chosen=1, ax=mine)
    assert ax is mine
    assert_allclose(line(ax, "_best").get_xydata(), [[1, 4.0]])
    assert ax.get_xlabel() == "number of components K\n1 run without a value: not drawn"
    alone = plot_criterion([1, 2], [4.0, 3.0])
    assert alone.get_ylabel() == "BIC, smaller is better"
    assert len(alone.collections) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": [1.0, 2.0, 3.0]}, "values must have one row per K; "
         "got (3,) for ks of shape (2,)."),
        ({"values": [[1.0], [np.nan]]}, "K = 2 has no value: leave it out of ks."),
        ({"chosen": 5}, "chosen must be one of ks; got 5."),
        ({"summary": "worst"}, "summary must be one of best, mean; got 'worst'."),
    ],
)  # fmt: skip
def test_bad_criteria(change, message):
    with pytest.raises(DataError) as caught:
        plot_criterion(**({"ks": [1, 2], "values": [[1.0], [2.0]]} | change))
    assert str(caught.value) == message


# ------------------------------------------------------------------ calibration


def test_coverage_against_level_with_what_chance_allows():
    levels = [0.9, 0.5]
    ax = plot_calibration(
        levels, {"MAP": [0.893, 0.52], "ML": [0.7, 0.4]}, n_entries=400, title="Honest", level=0.5
    )
    assert legend(ax) == [
        "MAP: 50 % intervals hold 52.0 %",
        "ML: 50 % intervals hold 40.0 %",
        "95 % of draws of 400 entries",
    ]
    assert_allclose(ax.lines[1].get_data(), [[0.5, 0.9], [0.52, 0.893]])
    band = ax.collections[0].get_paths()[0].vertices
    at_half = band[np.isclose(band[:, 0], 0.5), 1]
    assert_allclose(
        [at_half.min(), at_half.max()], binom.ppf([0.025, 0.975], 400, 0.5) / 400, atol=1e-12
    )
    assert {text.get_text() for text in ax.texts} == {"too narrow", "too wide"}


def test_one_model_needs_no_name_and_levels_between_are_interpolated():
    ax = plot_calibration([0.8, 1.0], [0.7, 0.9])
    assert legend(ax) == ["90 % intervals hold 80.0 %"]
    assert len(ax.collections) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 1.5], [0.5, 0.9]), "nominal must lie between 0 and 1; got 1.5."),
        (([0.5], {"a": [-0.1]}), "coverage of a must lie between 0 and 1; got -0.1."),
        (([0.5], [0.5, 0.6]), "coverage must have one number per level (1); got 2."),
        (([], []), "nominal must be a list of numbers; got shape (0,)."),
    ],
)
def test_bad_calibrations(arguments, message):
    with pytest.raises(DataError) as caught:
        plot_calibration(*arguments)
    assert str(caught.value) == message
