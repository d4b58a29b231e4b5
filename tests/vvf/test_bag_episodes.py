# SPDX-License-Identifier: Apache-2.0
"""Bags as episodes to train on: what was simulated comes back, and what is wrong is named."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.shared_data import shared_data
from tests.vvf.bag_factory import (
    FRAME_NS,
    START_NS,
    cdr,
    header,
    image,
    joints,
    make,
    pixels,
    state,
    write_episode,
)
from vvf.bags import BagWriter, TopicSpec, open_bag
from vvf.bags.episodes import BagEpisodes, RecordedAction, actions_at, choose_stamps
from vvf.bags.frames import FrameSource
from vvf.data import action_entries, open_data
from vvf.task import load_task
from vvf_models.config import from_mapping
from vvf_models.data.episode import Event
from vvf_models.data.npz import load_episode
from vvf_models.data.options import ReadOptions
from vvf_models.data.reading import SmallEpisode, read_all
from vvf_models.errors import UserError
from vvf_models.policies.bc import BcConfig
from vvf_sim.collect import collect_episode, save_npz

END, MILESTONE, ERROR = 1, 5, 6
HUMAN = 1


def action(stamp_ns, steps, source=0, dt=0.2, kind=0):
    steps = np.asarray(steps, np.float32)
    data, gripper = steps[:, :-1].ravel(), steps[:, -1].copy()
    return make('vvf_msgs/msg/Action', header(stamp_ns), source, kind, len(steps),
                steps.shape[1] - 1, data, gripper, dt, [], '')  # fmt: skip


def happened(stamp_ns, kind, detail='', outcome=''):
    return make('vvf_msgs/msg/EpisodeEvent', header(stamp_ns), kind, 'e', 'pick_place', '', outcome,
                detail)  # fmt: skip


def add(bag: Path, messages, outcome=None) -> Path:
    """Writes a bag anew with further (topic, stamp, message)."""
    old = bag.with_name(f'{bag.name}_old')
    bag.rename(old)
    with open_bag(old) as reader:
        custom = {k: v for k, v in reader.custom_data.items() if k != 'complete'}
        writer = BagWriter(bag, reader.topics.values(), custom)
        everything = [(t, ns, raw) for t, _, ns, raw in reader.messages()]
        everything += [(topic, ns, cdr(message)) for topic, ns, message in messages]
        for topic, ns, raw in sorted(everything, key=lambda m: m[1]):
            writer.write(topic, ns, raw)
        writer.close({'outcome': outcome or reader.custom_data['outcome']})
    shutil.rmtree(old)
    return bag


def at(frame):
    return START_NS + frame * FRAME_NS


@pytest.fixture(scope='module')
def simulated(tmp_path_factory):
    """A simulated episode as the collector saves it, and as a bag with frames in between."""
    folder = tmp_path_factory.mktemp('simulated')
    data = collect_episode('pick_place', 3, max_steps=12)
    save_npz(data, folder / 'episode.npz')
    task = load_task('pick_place')
    topics = [TopicSpec(t.topic, t.type, t.qos) for t in task.recorded_topics()]
    custom = {'task_file': task.to_yaml(), 'episode_id': 'episode', 'instruction': 'put it there'}
    blank = np.zeros_like(data.images['wrist'][0])
    with BagWriter(folder / 'bag', topics, custom) as writer:
        for i, stamp in enumerate(data.stamps):
            now = START_NS + round(stamp * 1e9)
            turn = Rotation.from_matrix(
                np.stack([data.state[i, 10:13], data.state[i, 13:16],
                          np.cross(data.state[i, 10:13], data.state[i, 13:16])], axis=1)
            ).as_quat()  # fmt: skip
            pose = make('geometry_msgs/msg/PoseStamped', header(now),
                        make('geometry_msgs/msg/Pose',
                             make('geometry_msgs/msg/Point', *map(float, data.state[i, 7:10])),
                             make('geometry_msgs/msg/Quaternion', *turn)))  # fmt: skip
            positions = data.state[i, :7].astype(np.float64)
            writer.write('/joint_states', now, cdr(joints(now, task.state[0].names, positions)))
            writer.write('/vvf/ee_pose', now, cdr(pose))
            for camera, frames in (
                ('shoulder', data.images['shoulder']),
                ('wrist', data.images['wrist']),
            ):
                writer.write(f'/{camera}/image_raw', now, cdr(image(now, frames[i])))
            later = now + FRAME_NS  # 10 Hz cameras, 5 Hz actions
            for camera in ('shoulder', 'wrist'):
                writer.write(f'/{camera}/image_raw', later, cdr(image(later, blank)))
            writer.write('/vvf/action', now + 1, cdr(action(now, [data.action[i]] * 6)))
        writer.close({'outcome': 'failure'})
    return folder


def test_what_was_simulated_comes_back(simulated):
    (episode,) = open_data(simulated / 'bag')
    expected = load_episode(simulated / 'episode.npz')
    episode.check()
    for camera in ('shoulder', 'wrist'):
        np.testing.assert_array_equal(episode.images[camera], expected.images[camera])
    np.testing.assert_allclose(episode.state, expected.state, atol=1e-6)
    np.testing.assert_array_equal(episode.actions, expected.actions)
    np.testing.assert_allclose(episode.stamps, expected.stamps, atol=1e-6)
    assert episode.rate_hz == pytest.approx(5)
    assert episode.interventions.tolist() == [False] * 13
    assert (episode.success, episode.success_index) == (False, -1)
    assert (episode.instruction, episode.episode_id) == ('put it there', 'episode')


def test_a_folder_of_bags(tmp_path):
    for name, outcome in zip('abcd', ('success', 'failure', 'aborted', 'unlabelled'), strict=True):
        write_episode(tmp_path / name, outcome=outcome)
    episodes = open_data(tmp_path)
    assert isinstance(episodes, BagEpisodes)
    assert [e.success for e in episodes] == [True, False, None, None]
    assert [e.success_index for e in episodes] == [5, -1, -1, -1]  # 12 frames at 10 Hz
    assert [e.actions for e in episodes] == [None] * 4
    assert episodes.source(2) == str(tmp_path / 'c')
    before = episodes.fingerprint()
    write_episode(tmp_path / 'e')
    assert open_data(tmp_path).fingerprint() != before


def test_observations_are_those_of_the_relabeller(tmp_path):
    bag = write_episode(tmp_path / 'bag', frames=20)
    (episode,) = open_data(bag, options=ReadOptions(cameras=('wrist', 'shoulder'), image_size=32))
    task = load_task('pick_place')
    with open_bag(bag) as reader:
        cameras = {'wrist': 'wrist', 'shoulder': 'shoulder'}
        frames = list(FrameSource(reader, task, cameras, 32, state=True))
    assert len(episode) == 10
    for row, frame in enumerate(frames[::2]):
        for camera in cameras:
            np.testing.assert_array_equal(episode.images[camera][row], frame.images[camera])
        np.testing.assert_array_equal(episode.state[row], frame.state)
    np.testing.assert_array_equal(open_data(bag)[0].images['wrist'][1], pixels(2, 1))  # full size


def test_events_and_when_the_task_was_done(tmp_path):
    events = [
        ('/vvf/episode', at(4), happened(at(4), MILESTONE, 'grasped')),
        ('/vvf/episode', at(7), happened(at(7), ERROR, '')),
        ('/vvf/episode', at(15), happened(at(15), END, outcome='success')),
        ('/vvf/episode', at(19), happened(at(19), 2, outcome='success')),
    ]
    bag = add(write_episode(tmp_path / 'a', frames=20), events)
    episode = BagEpisodes(bag)[0]  # frames 0, 2, 4, ...
    assert episode.events == (Event('grasped', 2, 'milestone'), Event('error', 4, 'error'))
    assert episode.success_index == 8  # the first frame at or after the end event
    add(bag, [('/vvf/episode', at(11), happened(at(11), MILESTONE, 'success'))])
    assert BagEpisodes(bag)[0].success_index == 6
    # Who labelled it afterwards has the last word.
    add(bag, [], outcome='failure')
    assert (BagEpisodes(bag)[0].success, BagEpisodes(bag)[0].success_index) == (False, -1)


def test_humans_in_control(tmp_path):
    bag = write_episode(tmp_path / 'a', frames=20, takeover=(4, 9))
    assert np.flatnonzero(BagEpisodes(bag)[0].interventions).tolist() == [2, 3, 4]
    step = [[0.01, 0, 0, 0, 0, 0, 1.0]]
    actions = [
        ('/vvf/action', at(n), action(at(n), step, HUMAN * (n >= 14))) for n in range(0, 20, 2)
    ]
    episode = BagEpisodes(add(bag, actions))[0]
    assert np.flatnonzero(episode.interventions).tolist() == [2, 3, 4, 7, 8, 9]
    np.testing.assert_allclose(episode.actions, np.repeat(step, 10, 0))


def test_frames_that_were_acted_upon_are_taken(tmp_path):
    bag = write_episode(tmp_path / 'a', frames=20)
    # The policy begins in frame 5, so that its frames are the odd ones.
    steps = {n: [[0.001 * n, 0, 0, 0, 0, 0, 0.0]] for n in range(5, 20, 2)}
    messages = [('/vvf/action', at(n) + 9, action(at(n), step)) for n, step in steps.items()]
    episode = BagEpisodes(add(bag, messages))[0]
    taken = np.rint(episode.stamps * 10).astype(int).tolist()
    assert taken == [0, 2, *range(5, 20, 2)]
    np.testing.assert_allclose(episode.actions[:, 0], [0, 0, *(0.001 * n for n in range(5, 20, 2))])
    np.testing.assert_allclose(episode.state[:, 0], [state(n)[0] for n in taken], atol=1e-6)


@pytest.mark.parametrize(('camera_hz', 'rate_hz', 'expected'), [(30, 5, 6), (10, 5, 2), (4, 5, 1)])
def test_frames_on_a_grid(camera_hz, rate_hz, expected):
    jitter = np.random.default_rng(0).uniform(-2e6, 2e6, 60)
    stamps = [round(n * 1e9 / camera_hz + j) for n, j in enumerate(jitter)]
    chosen = choose_stamps(stamps, set(), rate_hz)
    assert sorted(chosen) == stamps[::expected]


def test_frames_after_a_gap():
    stamps = [n * 100_000_000 for n in (*range(5), *range(31, 36))]
    chosen = sorted(choose_stamps(stamps, set(), 5.0))
    assert [n // 100_000_000 for n in chosen] == [0, 2, 4, 31, 33, 35]


def test_chunks_are_played_and_then_nothing_is_done():
    steps = np.array([[1, 0.5], [2, 0.4], [3, 0.3]], np.float32)
    actions = [RecordedAction(200, steps, 100), RecordedAction(900, steps[:1], 100)]
    stamps = np.array([0, 200, 310, 390, 500, 700, 900, 1000])
    rows = actions_at(stamps, actions, 'ee_delta')
    assert rows[:, 0].tolist() == [0, 1, 2, 3, 0, 0, 1, 0]
    np.testing.assert_allclose(rows[:, 1], [0.5, 0.5, 0.4, 0.3, 0.3, 0.3, 0.5, 0.5])
    rows = actions_at(stamps, actions, 'joint_position')  # the last command holds
    assert rows[:, 0].tolist() == [1, 1, 2, 3, 3, 3, 1, 1]


def test_a_bag_without_a_task(tmp_path):
    bag = shared_data('wx200_bag')
    with pytest.raises(UserError, match='wx200_bag holds no task file: name the task with --task'):
        open_data(bag)[0]
    (episode,) = open_data(bag, 'wx200_replay')
    episode.check()
    assert episode.images['image_0'].shape == (101, 240, 320, 3)  # 601 frames at 30 Hz
    assert episode.state.shape == (101, 6)
    assert episode.rate_hz == pytest.approx(5)
    assert (episode.success, episode.actions, episode.interventions) == (None, None, None)
    assert episode.instruction == 'clean up the table'


def test_bad_bags_are_named_and_the_others_are_read(tmp_path):
    good = write_episode(tmp_path / 'a_good', frames=40)
    truncated = write_episode(tmp_path / 'b_truncated', frames=40)
    (file,) = truncated.glob('*.mcap')
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    names, nan = load_task('pick_place').state[0].names, np.full(7, np.nan)
    spoilt = {
        'c_nan': [('/joint_states', at(6) - 1, joints(at(6), names, nan))],
        'd_action': [('/vvf/action', at(2), action(at(2), [[0.0] * 5]))],
        'e_kind': [('/vvf/action', at(2), action(at(2), [[0.0] * 7], kind=1))],
        'f_short': [('/vvf/action', at(2), replace(action(at(2), [[0.0] * 7]), horizon=3))],
    }  # fmt: skip
    for name, messages in spoilt.items():
        add(write_episode(tmp_path / name, frames=20), messages)
    write_episode(tmp_path / 'g_single', frames=1)
    messages = {
        str(good): None,
        str(truncated): 'is damaged',
        str(tmp_path / 'c_nan'): 'a state that is not finite',
        str(tmp_path / 'd_action'): 'the actions are not those of the task',
        str(tmp_path / 'e_kind'): 'the actions are not those of the task',
        str(tmp_path / 'f_short'): 'an action is malformed',
        str(tmp_path / 'g_single'): 'holds 1 frames, too few',
    }
    found = list(read_all(open_data(tmp_path), ['shoulder'], 16, workers=0))
    for result, (path, message) in zip(found, messages.items(), strict=True):
        if message is None:
            assert isinstance(result, SmallEpisode)
            assert result.length == 20
        else:
            assert isinstance(result, UserError)
            assert str(result).startswith(path)
            assert message in str(result)


def test_a_camera_that_went_away_is_named(tmp_path):
    bag = write_episode(tmp_path / 'a', frames=30)
    part = tmp_path / 'part'
    with open_bag(bag) as reader:
        writer = BagWriter(part, reader.topics.values(), dict(reader.custom_data))
        for topic, _, ns, raw in reader.messages():
            if topic != '/wrist/image_raw' or ns < at(15):
                writer.write(topic, ns, raw)
        writer.close({'outcome': 'success'})
    with pytest.raises(UserError, match=r'part: 14 of 30 frames cannot be put together'):
        BagEpisodes(part)[0]
    assert len(BagEpisodes(part, options=ReadOptions(cameras=('shoulder',)))[0]) == 15
    with pytest.raises(UserError, match="no camera 'top'"):
        BagEpisodes(part, options=ReadOptions(cameras=('top',)))[0]
    lacking = replace(load_task('pick_place'), state=load_task('wx200_replay').state)
    with pytest.raises(UserError, match='has no topic /wx200/joint_states'):
        BagEpisodes(bag, lacking)[0]


def test_other_data_are_opened_too(simulated, tmp_path):
    shutil.copy(simulated / 'episode.npz', tmp_path)
    assert open_data(tmp_path)[0].episode_id == 'episode'
    with pytest.raises(UserError, match='does not exist'):
        open_data(tmp_path / 'nowhere')
    (tmp_path / 'old.bag').write_bytes(b'#ROSBAG V2.0')
    with pytest.raises(UserError, match='is a ROS 1 bag: convert it'):
        open_data(tmp_path / 'old.bag')[0]


def test_what_actions_say_of_a_policy(simulated):
    (episode,) = open_data(simulated / 'bag')
    assert (episode.displacements, episode.arms) == (True, 1)
    assert action_entries(episode, 'bc') == {'action_dim': 7, 'arms': 1, 'dt': 0.2}
    stored = load_episode(simulated / 'episode.npz')
    assert action_entries(stored, 'cql') == {'action_dim': 7, 'dt': 0.2}
    # Two Frankas at 10 Hz, joint by joint.
    joint = replace(
        episode,
        actions=np.zeros((13, 16), np.float32),
        stamps=np.arange(13) / 10,
        displacements=False,
        arms=2,
    )
    assert action_entries(joint, 'cql')['displacements'] is False
    config = from_mapping(BcConfig, action_entries(joint, 'bc'), 'here', partial=True)
    assert (config.action_dim, config.arms, config.dt) == (16, 2, 0.1)
    assert not config.displacements
    assert config.action_scale == (3.0,) * 7
    assert action_entries(replace(episode, actions=None), 'bc') == {}
