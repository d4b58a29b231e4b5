# SPDX-License-Identifier: Apache-2.0
"""Tables of `vvf relabel` on pages and in videos: data sets need not be scored twice."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.vvf.relabel_models import write_icvf
from tests.vvf_models.toy_lerobot import write_dataset
from tests.vvf_models.toy_videos import write_video
from vvf.cli.main import main
from vvf.data import open_data
from vvf.errors import UserError
from vvf.export.labels import LabelTable
from vvf.viz.table_tracks import tracks_of
from vvf_models.data.chain import source
from vvf_models.data.options import ReadOptions


def call(*words: object) -> int:
    return main([*map(str, words)])


def labels(data: Path, out: Path, *models: Path, fps: int = 0) -> LabelTable:
    words = ('--out', out, '--fps', fps, '--engine-device', 'torch')
    assert call('relabel', data, '--value', *models, *words) == 0
    return LabelTable(out / 'values.parquet')


@pytest.fixture(scope='module')
def lerobot(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LabelTable]:
    folder = tmp_path_factory.mktemp('lerobot')
    data = write_dataset(folder / 'toy')
    models = [write_icvf(folder / name, ('wrist',), seed=i) for i, name in enumerate(('a', 'b'))]
    return data, labels(data, folder / 'out', *models)


def test_curves_are_those_of_the_table(lerobot: tuple[Path, LabelTable]) -> None:
    data, table = lerobot
    episodes = open_data(data, options=ReadOptions(fps=5))  # every second row
    for number, episode in enumerate(episodes):
        tracks = tracks_of(table, episode, source(episodes, number))
        assert [track.name for track in tracks] == ['a', 'b']
        rows = table.rows(episode.episode_id)
        assert rows is not None
        count = len(tracks[1])
        assert count > len(episode)
        np.testing.assert_allclose(tracks[1].times, np.arange(count) / 10, atol=1e-6)
        np.testing.assert_array_equal(tracks[1].progress, rows['progress_b'].to_numpy()[:count])
        name = 'complementary_info.value_a'
        np.testing.assert_array_equal(tracks[0].value, rows[name].to_numpy()[:count])
        assert (tracks[0].uncertainty >= 0).all()


def test_pages_and_videos_show_them(
    lerobot: tuple[Path, LabelTable], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, table = lerobot
    page, videos, numbers = tmp_path / 'page.html', tmp_path / 'videos', tmp_path / 'n.json'
    assert call('report', data, '--values', table.path, '--out', page) == 0
    text = page.read_text('utf-8')
    assert text.count('data-curves') == 3
    words = ('overlay', data, '--values', table.path, '--out', videos, '--height', 64)
    assert call(*words, '--episodes', 1, '--json', numbers) == 0
    assert call(*words, '--episodes', 1, '--json', numbers) == 0
    assert json.loads(numbers.read_text())['kept'] == 1
    other = write_dataset(tmp_path / 'other')
    assert call('report', other, '--values', table.path, '--out', page) == 2
    assert "has no episode 'other_000000': relabel these data" in capsys.readouterr().err


def test_a_clip_has_its_part_of_the_video_s_table(tmp_path: Path) -> None:
    folder = tmp_path / 'videos'
    folder.mkdir()
    write_video(folder / 'a.mp4', 40, fps=10)
    table = labels(folder, tmp_path / 'out', write_icvf(tmp_path / 'v', ('video',)))
    clips = open_data(folder, options=ReadOptions(fps=0, clip_frames=(5, 20)))
    found: list[Any] = [tracks_of(table, clip, source(clips, n)) for n, clip in enumerate(clips)]
    assert [len(tracks[0]) for tracks in found] == [20, 20]
    whole = table.rows('a')
    assert whole is not None
    progress = np.concatenate([tracks[0].progress for tracks in found])
    np.testing.assert_array_equal(progress, whole['progress'].to_numpy())
    (later,) = open_data(folder, options=ReadOptions(fps=0, clip_frames=(20, 40)))
    later.stamps = later.stamps + 100
    with pytest.raises(UserError, match='holds other frames'):
        tracks_of(table, later, 'a.mp4')
