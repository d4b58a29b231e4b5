# SPDX-License-Identifier: Apache-2.0
"""BridgeData V2 episodes (WidowX 250) from TFRecord files in the RLDS layout.

State (7): x y z [m], roll pitch yaw [rad], gripper in [0, 1] (1 open); action (7): deltas of the
first six per step and the gripper command. Rewards are the file's (1 at the end of a
demonstration); nobody labelled outcomes, so `success` is None.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vvf_models.data.chain import LazyEpisodes, files_fingerprint
from vvf_models.data.episode import Episode
from vvf_models.data.tfrecord import Feature, parse_example, read_record, record_offsets
from vvf_models.errors import UserError

_RATE_HZ = 5.0
_CAMERA = 'steps/observation/'


class BridgeEpisodes(LazyEpisodes):
    """The episodes of a TFRecord file, or of all such files in a folder, read when asked for."""

    def __init__(self, path: Path | str) -> None:
        """Indexes the files. What follows a damaged place counts as one episode, named when read.

        Raises:
            UserError: There is no TFRecord file.
        """
        path = Path(path)
        self._files = sorted(path.glob('*.tfrecord*')) if path.is_dir() else [path]
        if not self._files:
            raise UserError(f'{path} holds no .tfrecord file; name another folder.')
        self._records: list[tuple[Path, int, int] | UserError] = []
        for file in self._files:
            try:
                self._records.extend((file, *span) for span in record_offsets(file))
            except UserError as error:
                self._records.append(error)

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self._records)

    def fingerprint(self) -> str:
        """Changes when a file is added, removed or written anew."""
        return files_fingerprint(self._files)

    def source(self, number: int) -> str:
        """The file and the record in it."""
        record = self._records[number]
        return '' if isinstance(record, UserError) else f'{record[0]}, byte {record[1]}'

    def read(self, number: int) -> Episode:
        """Reads a record.

        Raises:
            UserError: The record is damaged or is no BridgeData episode.
        """
        # The ids within the records repeat, since each counts within its own source file.
        record = self._records[number]
        if isinstance(record, UserError):
            raise UserError(str(record))
        path, offset, length = record
        data = read_record(path, offset, length)
        try:
            return _to_episode(parse_example(data), f'bridge_{number:06d}')
        except (KeyError, ValueError) as error:
            raise UserError(
                f'{path}, byte {offset}: not a BridgeData episode ({error}); name another file.'
            ) from error


def _to_episode(features: dict[str, Feature], episode_id: str) -> Episode:
    decoded = {
        name.removeprefix(_CAMERA): _decode_all(value)
        for name, value in sorted(features.items())
        if name.startswith(f'{_CAMERA}image')
    }
    # A camera that the rig lacked is stored as blank images; the has_image flags do not tell.
    images = {camera: frames for camera, frames in decoded.items() if np.ptp(frames)}
    if not images:
        raise ValueError('it has no images')
    count = len(next(iter(images.values())))
    texts = features.get('steps/language_instruction', [])
    instruction = texts[0].decode() if isinstance(texts, list) and texts else ''
    episode = Episode(
        images=images,
        state=_rows(features[f'{_CAMERA}state'], count),
        actions=_rows(features['steps/action'], count),
        instruction=instruction,
        episode_id=episode_id,
        stamps=np.arange(count) / _RATE_HZ,
        rewards=_rewards(features, count),
    )
    episode.check()
    return episode


def _rewards(features: dict[str, Feature], count: int) -> NDArray[np.float32] | None:
    if 'steps/reward' not in features:
        return None
    rows = _rows(features['steps/reward'], count)
    if rows.shape[1] != 1:
        raise ValueError('rewards do not match the images')
    return rows[:, 0]


def _rows(feature: Feature, count: int) -> NDArray[np.float32]:
    if not isinstance(feature, np.ndarray) or feature.size == 0 or feature.size % count:
        raise ValueError('states or actions do not match the images')
    return feature.reshape(count, -1).astype(np.float32)


def _decode_all(feature: Feature) -> NDArray[np.uint8]:
    if not isinstance(feature, list) or not feature:
        raise ValueError('a camera has no images')
    frames = []
    for data in feature:
        frame = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        if frame is None:
            raise ValueError('an image cannot be decoded')
        frames.append(frame)
    return np.stack(frames).astype(np.uint8, copy=False)
