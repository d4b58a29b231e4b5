# SPDX-License-Identifier: Apache-2.0
"""Rates, ages and latencies are what was fed in."""

from __future__ import annotations

import math

import pytest

from vvf.diagnostics import Meter


def test_a_steady_stream_has_its_rate() -> None:
    meter = Meter()
    for k in range(50):
        meter.add(k * 0.1, 0.001 * (k % 10))
    assert meter.count == 50
    assert meter.rate_hz(4.9) == pytest.approx(10.0)
    assert meter.age_s(5.4) == pytest.approx(0.5)
    assert meter.latency_ms(50) == pytest.approx(4.5)


def test_a_stream_that_ended_has_no_rate() -> None:
    meter = Meter()
    for k in range(50):
        meter.add(k * 0.1)
    assert meter.rate_hz(60.0) == 0.0
    assert math.isnan(meter.latency_ms(50))


def test_before_the_first_event_the_age_is_infinite() -> None:
    assert Meter().age_s(1.0) == math.inf
