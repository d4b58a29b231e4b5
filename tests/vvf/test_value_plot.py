# SPDX-License-Identifier: Apache-2.0
"""The drawing of the live plot."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vvf.viz.live_history import History, ProgressMap, strength
from vvf.viz.live_text import shorten, text_width, write
from vvf.viz.plot import (
    BAND,
    BETTER,
    BRIGHT,
    CURVE,
    EVENTS,
    HUMAN,
    LIMIT,
    PAPER,
    WORSE,
    ValuePlot,
    advantage_colours,
)


def where(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(image.astype(int) - colour).sum(axis=2) < 12


def count(image: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int(where(image, colour).sum())


def rising(plot: ValuePlot, n: int = 50) -> ValuePlot:
    plot.mark(0.0, 'start')
    for i in range(n):
        plot.push(i / 5, i / n)
    return plot


@pytest.mark.parametrize('size', [(160, 120), (640, 360), (1920, 400)])
def test_every_size_draws_a_curve_a_threshold_and_texts(size: tuple[int, int]) -> None:
    plot = ValuePlot(*size, threshold=0.9)
    empty = plot.draw()
    image = rising(plot).draw()
    assert image.shape == (size[1], size[0], 3)
    assert image.dtype == np.uint8
    blue = (image[:, :, 2].astype(int) - image[:, :, 0] > 60).sum()
    assert blue > size[0] // 2, 'thin and smoothed as it may be'
    assert count(image, LIMIT) > 10
    assert count(empty, PAPER) > count(image, PAPER)


def test_the_curve_goes_where_the_values_are() -> None:
    def height_of(progress: float) -> float:
        plot = ValuePlot()
        for i in range(20):
            plot.push(i / 2, progress)
        return float(np.nonzero(where(plot.draw(), CURVE))[0].mean())

    low, middle, high = height_of(0.1), height_of(0.5), height_of(0.9)
    assert low > middle > high
    assert middle == pytest.approx((low + high) / 2, abs=1)
    # What is out of range is drawn at the edge, not beyond.
    assert height_of(7.0) == pytest.approx(height_of(1.0), abs=1)


def test_every_event_has_a_line_in_its_colour_at_its_time() -> None:
    for event, (colour, _) in EVENTS.items():
        plot = rising(ValuePlot())
        before = count(plot.draw(), colour)
        if event != 'start':
            plot.mark(5.0, event)
        columns = np.nonzero(where(plot.draw(), colour).sum(axis=0) > 150)[0]
        assert before > 100 if event == 'start' else columns.size >= 1, event
        middle = 0.5 * (1.3 * 17 + 640)  # half of ten seconds
        assert event == 'start' or abs(columns.mean() - middle) < 30, event


def test_time_under_human_control_is_shaded() -> None:
    plot = rising(ValuePlot())
    assert count(plot.draw(), HUMAN) == 0
    plot.mark(4.0, 'takeover')
    open_end = count(plot.draw(), HUMAN)
    plot.mark(5.0, 'give back')
    assert 1000 < count(plot.draw(), HUMAN) < open_end


def test_a_label_that_has_no_room_is_left_out_and_an_error_comes_first() -> None:
    alone = ValuePlot()
    alone.mark(5.0, 'error', 'dropped the carrot again')
    crowded = ValuePlot()
    for _ in range(30):
        crowded.mark(5.0, 'milestone', 'grasped')
    crowded.mark(5.0, 'error', 'dropped the carrot again')
    colour = EVENTS['error'][0]
    above = slice(0, 75)
    assert count(crowded.draw()[above], colour) == count(alone.draw()[above], colour) > 100


def test_a_band_a_gap_and_a_start_anew() -> None:
    plot = ValuePlot()
    for i in range(40):
        plot.push(i / 4, math.nan if 10 < i < 20 else 0.5, 0.1)
    image = plot.draw()
    assert count(image, BAND) > 1000
    drawn = np.flatnonzero(where(image, BAND).any(axis=0))
    assert np.diff(drawn).max() > 40, 'the gap'
    whole = count(image, CURVE)
    plot.clear()
    assert count(plot.draw(), CURVE) == 0
    for t in (100.0, 1.0, 2.0):
        plot.push(t, 0.5)
    assert 0 < count(plot.draw(), CURVE) < whole


def test_the_strip_says_better_and_worse() -> None:
    plot = ValuePlot()
    plot.mark(0.0, 'start')
    for i in range(100):
        plot.push(i / 10, 0.5, advantage=3.0 if i < 50 else -3.0)
    image = plot.draw()
    better, worse = where(image, BETTER), where(image, WORSE)
    assert np.nonzero(better)[1].max() <= np.nonzero(worse[300:])[1].min() + 2


def test_an_episode_is_shown_whole_and_then_passes_by() -> None:
    def first_column(plot: ValuePlot) -> int:
        return int(np.flatnonzero(where(plot.draw(), CURVE).any(axis=0))[0])

    plot = ValuePlot(window_s=30.0)
    plot.mark(0.0, 'start')
    for i in range(1200):
        plot.push(i / 10, 0.5 if i >= 600 else math.nan)
    assert first_column(plot) > 250, 'two minutes, of which the first has no values'
    plot.mark(120.0, 'success')
    for i in range(1200, 1600):
        plot.push(i / 10, 0.5)
    assert first_column(plot) < 60, 'the episode is long over'


def test_no_drop_is_lost_between_pixels() -> None:
    plot = ValuePlot()
    plot.mark(0.0, 'start')
    for i in range(20_000):
        plot.push(i / 30, 0.1 if i == 10_000 else 0.8)
    columns = where(plot.draw(), CURVE).sum(axis=0)
    assert columns.max() > 100


def test_a_silence_is_not_bridged_but_a_slow_model_is_drawn_whole() -> None:
    def widest_gap(times: list[float]) -> int:
        plot = ValuePlot()
        plot.mark(0.0, 'start')
        for t in times:
            plot.push(t, 0.3)
        return int(np.diff(np.flatnonzero(where(plot.draw(), CURVE).any(axis=0))).max())

    quick = [i / 30 for i in range(300)]
    assert widest_gap(quick) < 10
    assert widest_gap([t for t in quick if not 4.0 < t < 6.0]) > 80
    assert widest_gap([2.0 * i for i in range(6)]) < 10


def test_a_value_that_stays_away_is_missed() -> None:
    plot = rising(ValuePlot(threshold=None))
    assert count(plot.draw(0.5), LIMIT) == 0
    image = plot.draw(4.0)
    assert count(image, LIMIT) > 20, 'for how long, in words'
    assert count(image[:50], BRIGHT) == 0, 'the number is dimmed'


def test_a_plot_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match='160x120'):
        ValuePlot(100, 100)


def test_history_keeps_the_newest_and_finds_a_time() -> None:
    history = History(keep=10)
    assert history.newest is None
    for i in range(45):
        history.append(float(i), 0.5, math.nan, math.nan)
    assert len(history) == 10
    assert history.since(0.0)[:, 0].tolist() == [float(i) for i in range(35, 45)]
    assert history.since(42.5)[:, 0].tolist() == [43.0, 44.0]
    assert history.newest is not None
    assert history.newest[0] == 44.0
    history.clear()
    assert not len(history.since(0.0))


def test_the_map_from_value_to_progress_is_learnt_from_the_estimates() -> None:
    learnt = ProgressMap()
    assert math.isnan(learnt(0.3))
    rng = np.random.default_rng(0)
    for value in rng.uniform(-10, -1, 2000):
        progress = (1 + value / 12) ** 2
        learnt.learn(float(np.float32(value)), float(np.float32(progress)))
    for value in (-9.0, -5.0, -1.5):
        assert learnt(value) == pytest.approx((1 + value / 12) ** 2, abs=0.01)
    slope = 2 * (1 - 5 / 12) / 12
    assert learnt.half_width(-5.0, 0.5) == pytest.approx(0.5 * slope, rel=0.1)
    assert math.isnan(learnt.half_width(-5.0, math.nan))


def test_one_outlier_does_not_make_the_others_pale() -> None:
    gains = np.array([1.0] * 20 + [-1.0] * 20 + [1000.0, math.nan])
    scaled = strength(gains)
    assert scaled[0] == 1.0
    assert scaled[25] == -1.0
    assert math.isnan(scaled[-1])
    assert (strength(np.zeros(3)) == 0).all()
    assert not len(strength(np.zeros(0)))
    better, even, worse = advantage_colours(np.array([1.0, math.nan, -1.0])).tolist()
    assert (tuple(better), tuple(worse)) == (BETTER, WORSE)
    assert max(even) - min(even) < 30, 'grey'


def test_text_is_cut_at_the_edges_and_to_a_width() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    for at in ((-20.0, 20.0), (50.0, 5.0), (30.0, 60.0), (-500.0, 20.0)):
        write(image, 'gripper', at, 16, (255, 255, 255))
    assert image.any()
    assert shorten('put the carrot', 1000, 16) == 'put the carrot'
    cut = shorten('put the carrot', 60, 16)
    assert cut.endswith('...')
    assert text_width(cut, 16) <= 60
    assert shorten('put', 1, 16) == ''
    blank = np.zeros((40, 60, 3), np.uint8)
    write(blank, '胡', (5.0, 30.0), 16, (255, 255, 255))
    assert blank.any(), 'a question mark'
