# SPDX-License-Identifier: Apache-2.0
"""Opens a folder or file of episodes, whichever kind lies there."""

from collections.abc import Sequence
from pathlib import Path

from vvf_models.data.bridge import BridgeEpisodes
from vvf_models.data.episode import Episode
from vvf_models.data.npz import NpzEpisodes
from vvf_models.errors import UserError


def open_episodes(path: Path | str) -> Sequence[Episode]:
    """The episodes at a path, read lazily.

    Args:
        path: A folder of .npz episodes, a TFRecord file, or a folder of TFRecord files.

    Raises:
        UserError: Nothing lies there, or nothing that is known.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f'{path} does not exist; name a folder of episodes.')
    if path.is_file():
        if '.tfrecord' in path.name:
            return BridgeEpisodes(path)
        raise UserError(f'{path} is not a .tfrecord file; name one, or a folder of .npz episodes.')
    if any(path.glob('*.tfrecord*')):
        return BridgeEpisodes(path)
    if any(path.glob('*.npz')):
        return NpzEpisodes(path)
    raise UserError(
        f'{path} holds neither .npz nor .tfrecord episodes; collect some or name another folder.'
    )
