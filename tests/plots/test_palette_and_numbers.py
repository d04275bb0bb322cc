from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixmend.plots import component_colors
from mixmend.plots.numbers import grouped, mean_and_deviation, plain, significant
from mixmend.plots.palette import dark, luminance, readable, to_rgb

# Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB
VISIONS = {
    "full": np.eye(3),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def oklab(color, vision):
    rgb = to_rgb(color)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(vision @ linear, 0, 1)
    lms = np.cbrt(
        np.array(
            [
                [0.4122214708, 0.5363325363, 0.0514459929],
                [0.2119034982, 0.6806995451, 0.1073969566],
                [0.0883024619, 0.2817188376, 0.6299787005],
            ]
        )
        @ seen
    )
    return (
        np.array(
            [
                [0.2104542553, 0.7936177850, -0.0040720468],
                [1.9779984951, -2.4285922050, 0.4505937099],
                [0.0259040371, 0.7827717662, -0.8086757660],
            ]
        )
        @ lms
    )


@pytest.mark.parametrize("vision", VISIONS)
def test_twelve_colours_stay_apart_for_every_kind_of_sight(vision):
    seen = np.array([oklab(color, VISIONS[vision]) for color in component_colors(12)])
    distance = np.linalg.norm(seen[:, None] - seen, axis=2)
    assert distance[np.triu_indices(12, 1)].min() >= 0.085


def test_colours_show_on_white():
    lightness = [oklab(color, VISIONS["full"])[0] for color in component_colors(12)]
    assert max(lightness) < 0.83


def test_further_colours_are_new_ones():
    colors = component_colors(60)
    assert len(set(colors)) == 60
    assert colors[:12] == component_colors(12)


@pytest.mark.parametrize("color", component_colors(24))
def test_text_in_a_components_colour_can_be_read_on_white(color):
    assert 1.05 / (luminance(readable(color)) + 0.05) >= 4.5
    assert luminance(dark(color)) < luminance(color)


@pytest.mark.parametrize(
    ("mean", "deviation", "written"),
    [
        (5.74321, 1.9721, ("5.74", "1.97")),
        (-2.147, 0.597, ("−2.15", "0.597")),
        (-0.0001, 1.0, ("0.00", "1.00")),
        (0.0, 2.5, ("0.00", "2.50")),
        (1.234e-9, 3.21e-10, ("1.234×10⁻⁹", "3.21×10⁻¹⁰")),
        (2.58e6, 2.73e6, ("2.58×10⁶", "2.73×10⁶")),
        (3.0, 4.0e6, ("0", "4.00×10⁶")),
        (1e6 + 0.5, 0.25, ("1000000.500", "0.250")),
        (7.0, 0.0, ("7.000", "0")),
        (-29618.0, 85773.0, ("−3.0×10⁴", "8.58×10⁴")),
        (1234.0, 85.0, ("1234", "85.0")),
        (1e300, 1e299, ("1.000×10³⁰⁰", "1.00×10²⁹⁹")),
    ],
)
def test_means_have_the_digits_that_their_deviation_warrants(mean, deviation, written):
    assert mean_and_deviation(mean, deviation) == written


@given(st.floats(-1e12, 1e12), st.floats(1e-12, 1e12))
def test_written_means_are_right_to_a_fraction_of_their_deviation(mean, deviation):
    text, spread = mean_and_deviation(mean, deviation)
    assert abs(_read(text) - mean) <= max(deviation / 50, 1e-8 * abs(mean))
    assert _read(spread) == pytest.approx(deviation, rel=0.006)


@given(st.floats(-1e15, 1e15).filter(lambda value: abs(value) > 1e-200 or value == 0))
def test_significant_digits_are_right(value):
    assert _read(significant(value, 3)) == pytest.approx(value, rel=0.0051)


def test_other_numbers():
    assert plain(-0.004, 2) == "0.00"
    assert plain(-0.76, 2) == "−0.76"
    assert grouped(-1416862.4, 1) == "−1\N{THIN SPACE}416\N{THIN SPACE}862.4"


def _read(text):
    upright = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")
    mantissa, _, power = text.translate(upright).partition("×10")
    return float(f"{mantissa}e{power or 0}")
