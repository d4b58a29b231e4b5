# SPDX-License-Identifier: Apache-2.0
import logging
import re

import cv2
import numpy as np
import pytest

from tests.shared_data import shared_data
from tests.vvf_models.toy_lerobot import write_dataset
from tests.vvf_models.toy_videos import numbered, write_video
from vvf_models.data.bridge import BridgeEpisodes
from vvf_models.data.frame_folder import FrameFolderEpisodes
from vvf_models.data.frames import FrameStore
from vvf_models.data.lerobot import LerobotEpisodes
from vvf_models.data.npz import NpzEpisodes
from vvf_models.data.open import open_episodes
from vvf_models.data.options import ReadOptions
from vvf_models.data.video import VideoEpisodes, ViewEpisodes
from vvf_models.errors import UserError


def videos(folder):
    write_video(folder / 'a.mp4', 60)


def views(folder):
    write_video(folder / 'episode_1' / 'front.mp4', 60)


def frames(folder):
    (folder / 'clip').mkdir(parents=True)
    for number in range(3):
        cv2.imwrite(str(folder / 'clip' / f'{number}.png'), numbered(number))


def npz(folder):
    images = np.zeros((3, 8, 8, 3), np.uint8)
    np.savez(folder / 'a.npz', images_front=images, success=np.array(True))


@pytest.mark.parametrize(
    ('make', 'kind', 'words'),
    [
        (videos, VideoEpisodes, 'a folder of videos'),
        (views, ViewEpisodes, 'a folder of folders with a video of each camera'),
        (frames, FrameFolderEpisodes, r'\.png frames'),
        (npz, NpzEpisodes, r'\.npz episodes'),
        (write_dataset, LerobotEpisodes, 'a LeRobot v3 data set'),
    ],
)
def test_each_kind_is_recognised_and_said(tmp_path, caplog, make, kind, words):
    make(tmp_path)
    with caplog.at_level(logging.INFO):
        episodes = open_episodes(tmp_path)
    assert type(episodes) is kind
    assert re.search(f'{re.escape(str(tmp_path))}: .*{words}', caplog.text)
    assert len(episodes[0]) > 1


def test_real_data():
    assert isinstance(open_episodes(shared_data('widowx_bridge')), BridgeEpisodes)
    assert isinstance(open_episodes(shared_data('franka_pick_place')), VideoEpisodes)
    assert isinstance(open_episodes(shared_data('bimanual_table_cleanup')), ViewEpisodes)
    video = shared_data('franka_pick_place') / 'pap_demo.mp4'
    assert isinstance(open_episodes(video), VideoEpisodes)


def test_what_is_not_known_is_one_sentence(tmp_path):
    for make in (videos, npz):
        make(tmp_path)
    with pytest.raises(UserError, match=r'more than one kind of data: .*\.npz.*videos.*keep each'):
        open_episodes(tmp_path)
    both = tmp_path / 'both'
    videos(both)
    views(both)
    with pytest.raises(UserError, match='more than one kind'):
        open_episodes(both)
    empty = tmp_path / 'empty'
    (empty / 'inner').mkdir(parents=True)
    with pytest.raises(UserError, match='empty holds no episodes that are known: neither'):
        open_episodes(empty)


def test_training_reads_them_like_any_other(tmp_path):
    views(tmp_path)
    episodes = open_episodes(tmp_path, ReadOptions(image_size=16))
    store = FrameStore.from_episodes(episodes, ['front'], 16)
    assert store.images['front'].shape == (10, 3, 16, 16)
    assert store.rates.tolist() == pytest.approx([5])
