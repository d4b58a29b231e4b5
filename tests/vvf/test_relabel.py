# SPDX-License-Identifier: Apache-2.0
"""Relabelling: the same scores as live, originals untouched, resumable, honest about losses."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.shared_data import shared_data
from tests.vvf.bag_factory import (
    FRAME_NS,
    START_NS,
    cdr,
    header,
    make,
    pixels,
    state,
    write_episode,
)
from tests.vvf.relabel_models import write_icvf
from vvf.bags import BagWriter, open_bag
from vvf.bags.folders import find_bags
from vvf.cli import main as cli
from vvf.errors import UserError
from vvf.relabelling import ModelSpec, RelabelOptions, RelabelSummary, relabel
from vvf_models.checkpoints import save_checkpoint
from vvf_models.policies.bc import BcConfig, BcPolicy
from vvf_models.runtime import ValueRuntime, load_value
from vvf_models.values.advantage import lookahead, lookback

TAG = 'icvf_test'
MILESTONE = 5


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained value model of both cameras and the state."""
    return write_icvf(tmp_path_factory.mktemp('checkpoints') / TAG, dim=16)


@pytest.fixture(scope='module')
def image_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_icvf(tmp_path_factory.mktemp('checkpoints') / 'icvf_image', ('image_0',))


def digests(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(p.relative_to(folder)): (
            hashlib.sha256(p.read_bytes()).hexdigest(),
            p.stat().st_mtime_ns,
        )
        for p in sorted(folder.rglob('*'))
        if p.is_file()
    }


def label(bags: list[Path], checkpoint: Path, out: Path, **changes: object) -> RelabelSummary:
    options = RelabelOptions(out=out, batch=5, engine_device='torch', threads=1, **changes)
    return relabel(bags, [ModelSpec(checkpoint)], options)


def values_of(bag: Path, topic: str = '/vvf/value') -> list:
    with open_bag(bag) as reader:
        return [reader.deserialize(raw, kind) for _, kind, _, raw in reader.messages([topic])]


def test_scores_are_those_of_the_model_on_the_recorded_frames(
    tmp_path: Path, checkpoint: Path
) -> None:
    bag = write_episode(tmp_path / 'bags' / 'ep', frames=23)
    model, out = load_value(checkpoint, engine='torch'), tmp_path / 'out'
    summary = label([bag], checkpoint, out)
    assert summary.numbers()['frames_scored'] == summary.numbers()['frames_read'] == 23
    assert summary.numbers()['frames_lost'] == 0
    messages = values_of(out / 'ep')
    assert len(messages) == 23
    expected = []
    for i, message in enumerate(messages):
        images = {'shoulder': pixels(i)[None], 'wrist': pixels(i, 1)[None]}
        vector = np.concatenate([state(i), (0.2, 0.01 * i, 0.1), (1, 0, 0, 0, 1, 0)])
        live = model.value(model.encode(images, vector[None].astype(np.float32)))
        assert message.value == pytest.approx(float(live.value[0]), abs=1e-4)
        assert message.progress == pytest.approx(float(live.progress[0]), abs=1e-4)
        assert message.uncertainty == pytest.approx(float(live.uncertainty[0]), abs=1e-4)
        stamp = message.header.stamp
        assert stamp.sec * 10**9 + stamp.nanosec == START_NS + i * FRAME_NS
        assert (message.model, message.task, message.episode_id) == (TAG, 'pick_place', 'ep')
        expected.append(message.value)
    seconds = np.arange(23) * 0.1
    back = lookback(seconds, np.array(expected), gamma=model.gamma, rate_hz=5.0, done=22)
    np.testing.assert_allclose([m.advantage for m in messages], back, atol=1e-3)


def test_the_sibling_holds_every_original_message(tmp_path: Path, checkpoint: Path) -> None:
    bag = write_episode(tmp_path / 'bags' / 'ep', outcome='failure')
    label([bag], checkpoint, tmp_path / 'out')
    with open_bag(bag) as old, open_bag(tmp_path / 'out' / 'ep') as new:
        before = list(old.messages())
        assert [m for m in new.messages() if m[0] != '/vvf/value'] == before
        for key in ('task_file', 'episode_id', 'instruction', 'outcome'):
            assert new.custom_data[key] == old.custom_data[key]
        assert new.custom_data['relabel_model'] == TAG
        stamps = [m[2] for m in new.messages()]
        assert stamps == sorted(stamps)
        for topic, spec in old.topics.items():
            assert new.topics[topic].type_hash == spec.type_hash
            assert new.topics[topic].qos_profiles == spec.qos_profiles


def test_live_values_are_kept_beside_the_new_ones(tmp_path: Path, checkpoint: Path) -> None:
    bag = write_episode(tmp_path / 'bags' / 'ep', live=True)
    label([bag], checkpoint, tmp_path / 'out')
    assert [m.model for m in values_of(tmp_path / 'out' / 'ep')] == ['live'] * 12
    again = values_of(tmp_path / 'out' / 'ep', '/vvf/value/relabelled')
    assert [m.model for m in again] == [TAG] * 12


def test_the_table_has_the_columns_of_the_field(tmp_path: Path, checkpoint: Path) -> None:
    bags = [
        write_episode(tmp_path / 'bags' / 'a', frames=20, outcome='success'),
        write_episode(tmp_path / 'bags' / 'b', frames=15, outcome='failure', takeover=(4, 9)),
        write_episode(tmp_path / 'bags' / 'c', frames=10, outcome='unlabelled', seed=5),
    ]
    label(bags, checkpoint, tmp_path / 'out', positive_ratio=0.2)
    table = pq.read_table(tmp_path / 'out' / 'values.parquet').to_pydict()
    assert list(table) == [
        'episode_index',
        'frame_index',
        'timestamp',
        'task',
        'episode_success',
        'observation.state',
        'complementary_info.is_intervention',
        f'complementary_info.value_{TAG}',
        f'complementary_info.advantage_{TAG}',
        f'complementary_info.acp_indicator_{TAG}',
        'progress',
        'uncertainty',
        'stamp_ns',
        'episode_id',
    ]
    assert table['episode_index'] == [0] * 20 + [1] * 15 + [2] * 10
    assert table['frame_index'] == [*range(20), *range(15), *range(10)]
    # Without a label an episode is no failure.
    assert table['episode_success'] == ['success'] * 20 + ['failure'] * 15 + [None] * 10
    np.testing.assert_allclose(table['timestamp'][:20], np.arange(20) * 0.1, atol=1e-6)
    assert {len(s) for s in table['observation.state']} == {16}
    human = table['complementary_info.is_intervention']
    assert [i for i, h in enumerate(human) if h] == [20 + i for i in range(4, 9)]
    values = np.array(table[f'complementary_info.value_{TAG}'])
    gain = np.array(table[f'complementary_info.advantage_{TAG}'])
    seconds = np.arange(20) * 0.1
    first = lookahead(seconds, values[:20], gamma=0.98, rate_hz=5.0, done=19)
    np.testing.assert_allclose(gain[:20], first, atol=1e-4)
    positive = np.array(table[f'complementary_info.acp_indicator_{TAG}']).astype(bool)
    limit = np.quantile(gain, 0.8)
    clear = np.abs(gain - limit) > 1e-5
    np.testing.assert_array_equal(positive[clear], ((gain >= limit) | np.array(human))[clear])


def test_originals_are_untouched_and_work_is_not_done_twice(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bags = tmp_path / 'bags'
    write_episode(bags / 'a')
    write_episode(bags / 'b', seed=3)
    before = digests(bags)
    out = tmp_path / 'out'
    label([bags / 'a'], checkpoint, out)
    one = digests(out / 'a')
    # Episode a is scored already; its bag is written anew only if the threshold moved.
    second = label([bags], checkpoint, out)
    assert (second.episodes, second.skipped, second.frames_scored_now) == (2, 1, 12)
    assert one.keys() == digests(out / 'a').keys()
    done = digests(out)
    monkeypatch.setattr(ValueRuntime, 'encode', lambda *_: pytest.fail('scored again'))
    third = label([bags], checkpoint, out)
    assert (third.skipped, third.frames_scored, third.frames_scored_now) == (2, 24, 0)
    after = digests(out)
    assert {k: v for k, v in after.items() if k != 'values.parquet'} == {
        k: v for k, v in done.items() if k != 'values.parquet'
    }
    assert digests(bags) == before


def test_an_interrupted_run_is_taken_up(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bags, out = tmp_path / 'bags', tmp_path / 'out'
    write_episode(bags / 'a')
    write_episode(bags / 'b', seed=3)
    calls = 0
    encode = ValueRuntime.encode

    def stopped(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 5:  # once for the goals, three times for the first bag
            raise KeyboardInterrupt
        return encode(*args)

    monkeypatch.setattr(ValueRuntime, 'encode', stopped)
    assert run(bags, '--value', checkpoint, '--out', out, '--batch', 5) == 130
    monkeypatch.setattr(ValueRuntime, 'encode', encode)
    numbers = tmp_path / 'numbers.json'
    assert run(bags, '--value', checkpoint, '--out', out, '--batch', 5, '--json', numbers) == 0
    found = json.loads(numbers.read_text())
    assert (found['episodes'], found['episodes_skipped'], found['frames_scored']) == (2, 1, 24)
    assert sorted(p.name for p in out.iterdir()) == ['.scores', 'a', 'b', 'values.parquet']


def test_labels_of_another_checkpoint_are_not_mixed(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_episode(tmp_path / 'bags' / 'a')
    out = tmp_path / 'out'
    words = (bag, '--value', checkpoint, '--out', out)
    assert run(*words) == 0
    before = digests(out)
    other = write_icvf(tmp_path / 'other' / TAG, dim=16, seed=1)
    for changed, what in [
        ((bag, '--value', other, '--out', out), f'another checkpoint ({TAG})'),
        ((*words, '--n-steps', 3), 'other --n-steps (10)'),
        ((*words, '--engine-device', 'torch'), 'another --engine-device (auto)'),
        ((*words, '--task', 'pick_place'), 'another --task'),
    ]:
        capsys.readouterr()
        assert run(*changed) == 2
        said = capsys.readouterr().err
        assert f'{out} holds labels of {what}: choose another folder' in said
        assert said.count('\n') == 1
    assert digests(out) == before
    numbers = tmp_path / 'numbers.json'
    assert run(bag, '--value', other, '--out', out, '--overwrite', '--json', numbers) == 0
    assert json.loads(numbers.read_text())['episodes_skipped'] == 0
    assert digests(out)['values.parquet'] != before['values.parquet']


def test_what_follows_a_success_is_no_setback(tmp_path: Path, checkpoint: Path) -> None:
    plain = write_episode(tmp_path / 'plain' / 'ep', frames=20)
    bag = tmp_path / 'bags' / 'ep'
    done = START_NS + 12 * FRAME_NS - 5
    event = make('vvf_msgs/msg/EpisodeEvent', header(done), MILESTONE, 'e', 'pick_place', '', '',
                 'success')  # fmt: skip
    with (
        open_bag(plain) as reader,
        BagWriter(bag, reader.topics.values(), dict(reader.custom_data)) as writer,
    ):
        for topic, _, stamp, raw in reader.messages():
            if stamp == done + 4:  # the joints of frame 12 come right after
                writer.write('/vvf/episode', done, cdr(event))
            writer.write(topic, stamp, raw)
    label([bag], checkpoint, tmp_path / 'out')
    table = pq.read_table(tmp_path / 'out' / 'values.parquet').to_pydict()
    values = np.array(table[f'complementary_info.value_{TAG}'])
    gain = np.array(table[f'complementary_info.advantage_{TAG}'])
    np.testing.assert_allclose(gain[12:], -values[12:], atol=1e-5)
    expected = lookahead(np.arange(20) * 0.1, values, gamma=0.98, rate_hz=5.0, done=12)
    np.testing.assert_allclose(gain, expected, atol=1e-4)
    # The threshold is that of the frames up to the success.
    limit = np.quantile(gain[:13], 0.7)
    positive = np.array(table[f'complementary_info.acp_indicator_{TAG}']).astype(bool)
    clear = np.abs(gain - limit) > 1e-5
    np.testing.assert_array_equal(positive[clear], (gain >= limit)[clear])


def test_frames_that_cannot_be_scored_are_counted(tmp_path: Path, checkpoint: Path) -> None:
    bag = write_episode(tmp_path / 'bags' / 'ep', frames=8)
    broken = tmp_path / 'bags' / 'broken'
    with (
        open_bag(bag) as reader,
        BagWriter(broken, reader.topics.values(), dict(reader.custom_data)) as writer,
    ):
        for topic, _, stamp, raw in reader.messages():
            index = round((stamp - START_NS) / FRAME_NS)
            if topic == '/shoulder/image_raw' and index == 2:
                raw = raw[:-500]  # shorter than its header claims
            if topic == '/joint_states' and index >= 5:
                continue
            writer.write(topic, stamp, raw)
    summary = label([broken], checkpoint, tmp_path / 'out')
    numbers = summary.numbers()
    assert (numbers['frames_read'], numbers['frames_scored'], numbers['frames_lost']) == (8, 5, 3)
    # Joints are gone from frame 5 on; 150 ms later they are too old.
    assert numbers['frames_lost_by_reason'] == {'undecodable': 1, 'stale:/joint_states': 2}


def run(*words: object) -> int:
    return cli.main([str(w) for w in ('relabel', *words)])


def test_command_line_on_a_truncated_bag(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_episode(tmp_path / 'bags' / 'ep', frames=200)
    file = bag / 'ep.mcap'
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    numbers = tmp_path / 'numbers.json'
    assert run(bag, '--value', checkpoint, '--out', tmp_path / 'out', '--json', numbers) == 0
    found = json.loads(numbers.read_text())
    assert found['episodes'] == 1
    assert 50 < found['frames_scored'] < 150
    assert found['frames_read'] + found['frames_lost_by_reason']['truncated'] == 200
    assert found['seconds_lost'] == pytest.approx((200 - found['frames_read']) * 0.1, abs=0.11)
    assert found['frames_per_s'] > 0
    said = capsys.readouterr().err
    assert 'it ends in the middle of a record' in said
    assert 'are lost' in said
    assert len(values_of(tmp_path / 'out' / 'ep')) == found['frames_scored']


def test_mistakes_are_one_sentence_and_exit_code_2(
    tmp_path: Path, checkpoint: Path, image_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_episode(tmp_path / 'bags' / 'ep')
    (tmp_path / 'text.mcap').write_text('this is no bag')
    config = BcConfig(cameras=('shoulder',))
    save_checkpoint(tmp_path / 'bc', 'bc', config, BcPolicy(config).state_dict(), 'untrained')
    out = tmp_path / 'out'
    for words, said in [
        ((tmp_path / 'text.mcap', '--value', checkpoint, '--out', out), 'is not a bag'),
        ((tmp_path / 'none', '--value', checkpoint, '--out', out), 'does not exist'),
        ((bag, '--value', tmp_path / 'bc', '--out', out), 'of kind "bc"'),
        ((bag, '--value', tmp_path / 'nothing', '--out', out), 'does not exist'),
        ((bag, '--value', image_checkpoint, '--out', out), "camera 'image_0', which is not"),
        ((bag, '--value', checkpoint, '--out', bag), 'would write into the original'),
        ((bag, '--value', checkpoint, '--out', bag / 'in'), 'would write into the original'),
        ((bag, '--value', checkpoint, '--out', bag.parent), 'would write into the original'),
        ((bag, '--value', checkpoint, '--out', out, '--task', 'wx200_replay'), 'known: image_0'),
        ((bag, '--value', checkpoint, '--out', out, '--batch', 0), 'must be at least 1'),
    ]:
        assert run(*words) == 2, words
        error = capsys.readouterr().err
        assert said in error
        assert error.count('\n') == 1
    assert sorted(p.name for p in bag.iterdir()) == ['ep.mcap', 'metadata.yaml']


def test_bags_of_one_name_need_different_folders(tmp_path: Path) -> None:
    write_episode(tmp_path / 'x' / 'ep')
    write_episode(tmp_path / 'y' / 'ep')
    with pytest.raises(UserError, match='have the same name'):
        find_bags([tmp_path / 'x', tmp_path / 'y' / 'ep'])


def test_the_real_recording_is_relabelled_whole(
    tmp_path: Path, image_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = shared_data('wx200_bag')
    before = digests(bag)
    out, numbers = tmp_path / 'out', tmp_path / 'numbers.json'
    words = (bag, '--value', image_checkpoint, '--out', out, '--json', numbers)
    assert run(*words) == 2
    assert 'name the task with --task' in capsys.readouterr().err
    assert run(*words, '--task', 'wx200_replay') == 0
    found = json.loads(numbers.read_text())
    assert (found['frames_read'], found['frames_scored'], found['frames_lost']) == (601, 601, 0)
    with open_bag(out / 'wx200_bag') as new:
        assert new.counts() == {
            '/wx200/joint_states': 2001,
            '/camera/color/image_raw/compressed': 601,
            '/vvf/value': 601,
        }
    assert digests(bag) == before
