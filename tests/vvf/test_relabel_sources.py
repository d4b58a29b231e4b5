# SPDX-License-Identifier: Apache-2.0
"""What can be relabelled besides bags, with which models and against which goals."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.vvf.bag_factory import pixels, write_episode
from tests.vvf.relabel_models import write_icvf
from tests.vvf_models.toy_lerobot import LENGTHS, write_dataset
from tests.vvf_models.toy_videos import write_video
from vvf.bags import frames, open_bag
from vvf.cli import main as cli
from vvf.images import decode, encode_jpeg
from vvf_models.data.lerobot import LerobotEpisodes
from vvf_models.data.options import ReadOptions
from vvf_models.data.video import VideoEpisodes
from vvf_models.runtime import ValueRuntime, load_value

INFO = 'complementary_info'


def run(*words: object) -> int:
    return cli.main([str(w) for w in ('relabel', *words)])


def test_lerobot_gets_a_table_that_joins(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / 'toy')
    model = write_icvf(tmp_path / 'icvf', ('front', 'wrist'), 3)
    before = {p: p.stat().st_mtime_ns for p in data.rglob('*')}
    assert run(data, '--value', model, '--out', tmp_path / 'out', '--batch', 4) == 0
    assert before == {p: p.stat().st_mtime_ns for p in data.rglob('*')}
    side = pq.read_table(tmp_path / 'out' / f'toy.{INFO}.parquet')
    assert side.column_names == [
        'episode_index', 'frame_index', f'{INFO}.value_icvf', f'{INFO}.advantage_icvf',
        f'{INFO}.acp_indicator_icvf',
    ]  # fmt: skip
    rows = pq.read_table(data / 'data' / 'chunk-000' / 'file-000.parquet')
    joined = rows.select(['episode_index', 'frame_index']).join(
        side, ['episode_index', 'frame_index'], join_type='inner'
    )
    assert joined.num_rows == rows.num_rows == sum(LENGTHS)
    # The values are those of the data set's own frames and state.
    episode = LerobotEpisodes(data, ReadOptions(image_size=32, fps=0))[2]
    runtime = load_value(model)
    runtime.set_instruction(episode.instruction)
    values = runtime.value(runtime.encode(episode.images, episode.state)).value
    found = [
        value
        for index, value in zip(
            side['episode_index'].to_pylist(), side[f'{INFO}.value_icvf'].to_pylist(), strict=True
        )
        if index == 2
    ]
    np.testing.assert_allclose(found, values, atol=1e-4)
    table = pq.read_table(tmp_path / 'out' / 'values.parquet').to_pydict()
    assert table['episode_success'][:12] == ['success'] * 12
    assert set(table['task']) == {'pick it', 'place it'}
    human = table[f'{INFO}.is_intervention'][:12]
    assert [i for i, h in enumerate(human) if h] == [3, 4]
    assert [table[f'{INFO}.acp_indicator_icvf'][i] for i in (3, 4)] == [1, 1]


def test_videos_are_scored_whole_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / 'videos'
    folder.mkdir()
    write_video(folder / 'a.mp4', 25, fps=10)
    write_video(folder / 'b.mp4', 8, fps=10)
    (folder / 'b.json').write_text('{"instruction": "stack", "success": true, "success_frame": 5}')
    monkeypatch.setattr('vvf.cli.relabel.PART_FRAMES', 10)
    model = write_icvf(tmp_path / 'icvf', ('image_0',))  # of another name than a video's camera
    words = (folder, '--value', model, '--out', tmp_path / 'out', '--fps', 0)
    assert run(*words, '--json', tmp_path / 'numbers.json') == 0
    numbers = json.loads((tmp_path / 'numbers.json').read_text())
    assert (numbers['episodes'], numbers['frames_scored']) == (2, 33)
    table = pq.read_table(tmp_path / 'out' / 'values.parquet').to_pydict()
    assert table['episode_id'] == ['a'] * 25 + ['b'] * 8
    assert table['frame_index'] == [*range(25), *range(8)]
    np.testing.assert_allclose(table['timestamp'][:25], np.arange(25) * 0.1, atol=0.01)
    assert table['episode_success'] == [None] * 25 + ['success'] * 8
    runtime = load_value(model)
    seen = VideoEpisodes(folder / 'a.mp4', ReadOptions(image_size=32, fps=0))[0].images['video']
    values = runtime.value(runtime.encode({'image_0': seen})).value
    np.testing.assert_allclose(table[f'{INFO}.value_icvf'][:25], values, atol=1e-4)
    gain, value = (table[f'{INFO}.{name}_icvf'] for name in ('advantage', 'value'))
    np.testing.assert_allclose(gain[25 + 5 :], -np.array(value[25 + 5 :]), atol=1e-5)
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == ['.scores', 'values.parquet']


def test_a_damaged_video_is_named_and_can_be_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / 'videos'
    folder.mkdir()
    write_video(folder / 'a.mp4', 10, fps=10)
    (folder / 'b.mp4').write_bytes(b'no video')
    model = write_icvf(tmp_path / 'icvf', ('video',))
    words = (folder, '--value', model, '--out', tmp_path / 'out')
    assert run(*words) == 2
    said = capsys.readouterr().err
    assert 'b.mp4' in said
    assert '--skip-bad leaves such episodes out' in said
    assert run(*words, '--skip-bad', '--json', tmp_path / 'numbers.json') == 0
    numbers = json.loads((tmp_path / 'numbers.json').read_text())
    assert (numbers['episodes'], numbers['episodes_skipped']) == (1, 1)
    assert 'b.mp4' in numbers['left_out'][0]


def test_several_models_and_goals_share_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag = write_episode(tmp_path / 'bags' / 'ep', frames=12, live=True)
    both = write_icvf(tmp_path / 'both', instructions=('put it there', 'fetch it'))
    one = write_icvf(tmp_path / '1st', ('wrist',), 16, size=24, seed=1)
    decoded, encoded = [], []
    encode, to_rgb = ValueRuntime.encode, frames.to_rgb

    def counted(self: ValueRuntime, images: dict, *rest: object) -> object:
        encoded.append((self.name, len(next(iter(images.values())))))
        return encode(self, images, *rest)

    monkeypatch.setattr(ValueRuntime, 'encode', counted)
    monkeypatch.setattr(frames, 'to_rgb', lambda m: decoded.append(1) or to_rgb(m))
    words = (bag, '--value', both, one, '--tag', 'two', '1st', '--out', tmp_path / 'out')
    assert run(*words) == 0
    assert len(decoded) == 24  # once for each image, though one camera is wanted in two sizes
    assert encoded.count(('both', 12)) == encoded.count(('1st', 12)) == 1
    table = pq.read_table(tmp_path / 'out' / 'values.parquet')
    assert [n for n in table.column_names if n.startswith((INFO, 'progress', 'uncertainty'))] == [
        f'{INFO}.is_intervention',
        *(f'{INFO}.{what}_two' for what in ('value', 'advantage', 'acp_indicator')),
        *(f'{INFO}.{what}_m1st' for what in ('value', 'advantage', 'acp_indicator')),
        'progress', 'uncertainty', 'progress_m1st', 'uncertainty_m1st',
    ]  # fmt: skip
    with open_bag(tmp_path / 'out' / 'ep') as sibling:
        topics = json.loads(sibling.custom_data['relabel_topics'])
        assert topics == {'two': '/vvf/value/relabelled', 'm1st': '/vvf/value/relabelled/m1st'}
        assert [sibling.counts()[t] for t in ('/vvf/value', *topics.values())] == [12, 12, 12]


def test_goals_of_images_and_instructions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_episode(tmp_path / 'bags' / 'ep', frames=6)
    model = write_icvf(tmp_path / 'icvf', instructions=('put it there', 'fetch it'))
    goal = tmp_path / 'in the box'
    goal.mkdir()
    for seed, camera in enumerate(('shoulder', 'wrist')):
        (goal / f'{camera}.jpg').write_bytes(encode_jpeg(pixels(5, seed)))
    words = (bag, '--value', model, '--out', tmp_path / 'out')
    assert run(*words, '--goal', 'own', goal, '--instruction', 'fetch it') == 0
    table = pq.read_table(tmp_path / 'out' / 'values.parquet').to_pydict()
    runtime = load_value(model)
    images = {
        camera: np.stack([pixels(i, seed) for i in range(6)])
        for seed, camera in enumerate(('shoulder', 'wrist'))
    }
    latents = runtime.encode(images)
    for instruction, tag in [('put it there', 'icvf'), ('fetch it', 'icvf_fetch_it')]:
        runtime.set_instruction(instruction)
        np.testing.assert_allclose(
            table[f'{INFO}.value_{tag}'], runtime.value(latents).value, atol=1e-4
        )
    runtime.set_goal({c: decode((goal / f'{c}.jpg').read_bytes())[None] for c in images})
    wanted = runtime.value(latents).value
    np.testing.assert_allclose(table[f'{INFO}.value_icvf_in_the_box'], wanted, atol=1e-4)
    # The episode succeeded, which says nothing about another goal.
    assert table[f'{INFO}.advantage_icvf'][-1] == pytest.approx(-table[f'{INFO}.value_icvf'][-1])
    assert table[f'{INFO}.advantage_icvf_in_the_box'][-1] == pytest.approx(0.0)

    out = tmp_path / 'other'
    for more, said in [
        (('--goal', goal / 'wrist.jpg'), 'give --goal a folder with shoulder.jpg and wrist.jpg'),
        (('--goal', tmp_path / 'none'), 'does not exist: give --goal an image'),
        (('--instruction', 'dance'), 'holds no goal of the instruction "dance"'),
        (('--tag', 'a', 'b'), 'takes one name for each of the 1 checkpoints'),
        (('--camera', 'wrist'), '--camera takes pairs'),
        (('--camera', 'wrist=roof'), "there is no camera 'roof'"),
    ]:
        capsys.readouterr()
        assert run(bag, '--value', model, '--out', out, *more) == 2, more
        error = capsys.readouterr().err
        assert said in error
        assert error.count('\n') == 1


def test_episodes_without_the_camera_or_state_of_the_model_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_dataset(tmp_path / 'toy', video=False)
    for cameras, dim, said in [
        (('front', 'roof'), 0, 'has no camera "roof"'),
        (('front',), 5, 'wants a state of 5 numbers'),
    ]:
        model = write_icvf(tmp_path / f'icvf_{dim}', cameras, dim)
        assert run(data, '--value', model, '--out', tmp_path / f'out_{dim}') == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count('\n') == 1
