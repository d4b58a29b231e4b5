# SPDX-License-Identifier: Apache-2.0
"""Which frames are acted upon, for cameras of any rate."""

from __future__ import annotations

import numpy as np
import pytest

from vvf.pace import Pace


def taken(stamps: np.ndarray, rate: float = 5.0) -> np.ndarray:
    pace, acted = Pace(1.0 / rate), []
    for stamp in stamps:
        if pace.due(stamp):
            pace.took(stamp)
            acted.append(stamp)
    return np.array(acted)


@pytest.mark.parametrize('camera', [5.0, 7.5, 10.0, 15.0, 24.0, 30.0, 60.0])
def test_the_rate_is_the_tasks_on_average(camera: float) -> None:
    frames = 1.7e9 + np.arange(int(60 * camera)) / camera
    acted = taken(frames)
    assert (len(acted) - 1) / (acted[-1] - acted[0]) == pytest.approx(5.0, abs=0.01)
    assert acted[-1] > frames[-1] - 0.2
    assert np.diff(acted).min() >= 0.1 - 1e-6


def test_the_rate_is_kept_with_frames_that_come_a_little_early_or_late() -> None:
    rng = np.random.default_rng(0)
    frames = 100.0 + np.arange(1800) / 30 + rng.uniform(-0.01, 0.01, 1800)
    assert len(taken(frames)) in (299, 300, 301)


def test_after_a_gap_nothing_is_made_up_for() -> None:
    frames = np.concatenate([np.arange(10) / 10, 5.03 + np.arange(10) / 10])
    np.testing.assert_allclose(
        taken(frames), [0.0, 0.2, 0.4, 0.6, 0.8, 5.03, 5.23, 5.43, 5.63, 5.83]
    )


def test_a_frame_counts_once_and_a_clock_set_back_begins_anew() -> None:
    assert taken(np.array([10.0, 10.0, 10.2, 3.0, 3.1, 3.2])).tolist() == [10.0, 10.2, 3.0, 3.2]


def test_a_slower_camera_sets_the_rate() -> None:
    frames = np.arange(20) / 3
    np.testing.assert_array_equal(taken(frames), frames)
