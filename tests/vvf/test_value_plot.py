# SPDX-License-Identifier: Apache-2.0
"""The live plot."""

import math

import numpy as np
import pytest

from vvf.viz.plot import BAND, CURVE, EVENT, LIMIT, ValuePlot


def count(image: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(image.astype(int) - colour).sum(axis=2) < 12).sum())


def bluish(image: np.ndarray) -> int:
    """Pixels of the curve, thin and smoothed as it may be."""
    return int((image[:, :, 2].astype(int) - image[:, :, 0] > 60).sum())


@pytest.mark.parametrize('size', [(160, 120), (640, 320), (1920, 400)])
def test_every_size_draws(size: tuple[int, int]) -> None:
    plot = ValuePlot(*size, threshold=0.9)
    empty = plot.draw()
    for i in range(50):
        plot.push(i / 10, i / 50)
    image = plot.draw()
    assert image.shape == (size[1], size[0], 3)
    assert image.dtype == np.uint8
    assert bluish(image) > bluish(empty) + size[0] // 4
    assert count(image, LIMIT) > 10


def test_the_curve_goes_where_the_values_are() -> None:
    def height_of(progress: float) -> float:
        plot = ValuePlot()
        for i in range(20):
            plot.push(i / 2, progress)
        mask = np.abs(plot.draw().astype(int) - CURVE).sum(axis=2) < 12
        return float(np.nonzero(mask)[0].mean())

    low, middle, high = height_of(0.1), height_of(0.5), height_of(0.9)
    assert low > middle > high
    assert middle == pytest.approx((low + high) / 2, abs=1)
    # What is out of range is drawn at the edge, not beyond.
    assert height_of(7.0) == pytest.approx(height_of(1.0), abs=1)


def test_band_events_gaps_and_restart() -> None:
    plot = ValuePlot()
    for i in range(40):
        plot.push(i / 4, math.nan if 10 < i < 20 else 0.5, 0.1)
    plot.mark(5.0, 'takeover')
    image = plot.draw()
    assert count(image, BAND) > 1000
    assert count(image, EVENT) > 100
    whole = count(image, CURVE)
    plot.clear()
    assert count(plot.draw(), CURVE) == 0
    plot.push(100.0, 0.5)
    plot.push(1.0, 0.5)
    plot.push(2.0, 0.5)
    assert 0 < count(plot.draw(), CURVE) < whole


def test_a_plot_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match='160x120'):
        ValuePlot(100, 100)
