# SPDX-License-Identifier: Apache-2.0
"""What an encoder can do: figures that are finite and fit each other."""

from __future__ import annotations

import pytest

from vvf.bench.encoder import PEAK_TYPES, encoder_gflop, encoder_rate, matmul_peak_gflops
from vvf.paths import share
from vvf_models.runtime import load_value


def test_no_encoder_is_quicker_than_the_matrix_product() -> None:
    runtime = load_value(share() / 'checkpoints' / 'icvf_pick_place', engine='torch')
    # By hand: 8x8/4, 4x4/2 and 3x3/2 convolutions and a layer, for each of two cameras.
    layers = 16**2 * 32 * 192 + 8**2 * 64 * 512 + 4**2 * 64 * 576 + 1024 * 256
    assert encoder_gflop(runtime) == pytest.approx(2 * 2 * layers / 1e9)
    used = encoder_gflop(runtime) * encoder_rate(runtime, batch=4)
    assert 0 < used < max(matmul_peak_gflops(kind) for kind in PEAK_TYPES)


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match='float32, bfloat16'):
        matmul_peak_gflops('complex64')
