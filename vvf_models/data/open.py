# SPDX-License-Identifier: Apache-2.0
"""Opens a folder or file of episodes, whichever kind lies there."""

import logging
from collections.abc import Sequence
from pathlib import Path

from vvf_models.data.bridge import BridgeEpisodes
from vvf_models.data.episode import Episode
from vvf_models.data.frame_folder import FrameFolderEpisodes, frame_folders
from vvf_models.data.lerobot import LerobotEpisodes
from vvf_models.data.lerobot_meta import INFO
from vvf_models.data.npz import NpzEpisodes
from vvf_models.data.options import ReadOptions
from vvf_models.data.video import VideoEpisodes, ViewEpisodes, view_folders, views_in
from vvf_models.data.video_file import is_video
from vvf_models.errors import UserError

#: What there is by the names of the kinds, for people.
KINDS = {
    'lerobot': 'a LeRobot v3 data set (with meta/info.json)',
    'npz': 'a folder of .npz episodes',
    'tfrecord': 'BridgeData .tfrecord files',
    'videos': 'a video or a folder of videos (.mp4, .webm, .mkv, .mov)',
    'views': 'a folder of folders with a video of each camera',
    'frames': 'a folder of folders with .jpg or .png frames',
}

_log = logging.getLogger(__name__)


def open_episodes(path: Path | str, options: ReadOptions | None = None) -> Sequence[Episode]:
    """The episodes at a path, read lazily. A log line says which kind was taken.

    Args:
        path: Anything of `KINDS`.
        options: How videos, frames and LeRobot data sets are read; of .npz episodes, which actions
            are taken. TFRecord episodes are read as they are.

    Raises:
        UserError: Nothing lies there, nothing that is known, or more than one kind.
    """
    path = Path(path)
    kind = recognise(path)
    _log.info('%s: %s', path, KINDS[kind])
    if kind == 'npz':
        return NpzEpisodes(path, options.actions if options else 'clean')
    if kind == 'tfrecord':
        return BridgeEpisodes(path)
    if kind == 'lerobot':
        return LerobotEpisodes(path, options)
    if kind == 'videos':
        return VideoEpisodes(path, options)
    if kind == 'views':
        return ViewEpisodes(path, options)
    return FrameFolderEpisodes(path, options)


def recognise(path: Path) -> str:
    """Which of `KINDS` lies at a path.

    Raises:
        UserError: Nothing lies there, nothing that is known, or more than one kind.
    """
    if not path.exists():
        raise UserError(f'{path} does not exist; name a folder of episodes.')
    if path.is_file():
        if '.tfrecord' in path.name:
            return 'tfrecord'
        if is_video(path):
            return 'videos'
        raise UserError(f'{path} is not a .tfrecord file or a video; name one, or a folder.')
    if (path / INFO).exists():
        return 'lerobot'
    try:
        return _kind_of_folder(path)
    except OSError as error:
        raise UserError(f'{path} cannot be listed: {error}.') from error


def _kind_of_folder(path: Path) -> str:
    found = []
    if any(path.glob('*.npz')):
        found.append('npz')
    if any(path.glob('*.tfrecord*')):
        found.append('tfrecord')
    folders = view_folders(path)
    if folders:
        found.append('views')
    if views_in(path) and folders != [path]:
        found.append('videos')
    if frame_folders(path):
        found.append('frames')
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            f'{path} holds more than one kind of data: {"; ".join(KINDS[k] for k in found)}; keep '
            'each in a folder of its own.'
        )
    raise UserError(
        f'{path} holds no episodes that are known: neither {"; nor ".join(KINDS.values())}; '
        'collect some or name another folder.'
    )
