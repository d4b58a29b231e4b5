# SPDX-License-Identifier: Apache-2.0
"""`vvf bench relabel` measures both loops on the same bag and says all that it promises."""

import json
from pathlib import Path

import pytest

from tests.vvf.bag_factory import write_episode
from tests.vvf.relabel_models import write_icvf
from vvf.bags import open_bag
from vvf.bench import encoder
from vvf.bench.relabel import make_bag
from vvf.cli import main as cli

KEYS = {
    'frames', 'frames_per_s', 'baseline_frames_per_s', 'speedup', 'encoder_frames_per_s',
    'encoder_fraction_of_achievable', 'matmul_peak_gflops', 'encoder_gflop',
    'encoder_fraction_of_peak', 'engine', 'precision', 'threads', 'baseline_threads', 'cameras',
    'seconds',
}  # fmt: skip


def test_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(encoder, '_SIDE', 64)
    bag = write_episode(tmp_path / 'ep', frames=6)
    model = write_icvf(tmp_path / 'icvf', dim=16)
    file = tmp_path / 'numbers.json'
    words = ('bench', 'relabel', '--data', bag, '--value', model, '--baseline-frames', 3)
    assert cli.main([str(w) for w in (*words, '--json', file)]) == 0
    numbers = json.loads(file.read_text())
    assert numbers.keys() == KEYS
    assert (numbers['frames'], numbers['cameras'], numbers['engine']) == (6, 2, 'torch')
    assert numbers['speedup'] == numbers['frames_per_s'] / numbers['baseline_frames_per_s']
    assert {'load', 'decode', 'encode', 'value', 'wait', 'score', 'write'} == {*numbers['seconds']}
    assert 'times as many' in capsys.readouterr().out


def test_the_bag_it_makes_is_a_real_one(tmp_path: Path) -> None:
    with open_bag(make_bag(tmp_path / 'bag', 3)) as reader:
        assert reader.task is not None
        assert set(reader.counts().values()) == {3}
        assert {t.type for t in reader.topics.values()} == {'sensor_msgs/msg/CompressedImage'}
        sizes = [len(raw) for _, _, _, raw in reader.messages()]
    assert 20_000 < min(sizes) <= max(sizes) < 150_000
