# SPDX-License-Identifier: Apache-2.0
"""Folders of frames: one folder of .jpg or .png files an episode, or one of such folders by camera.

What people know about an episode lies beside its folder; see `vvf_models.data.labels`. Frames are
in the natural order of their names (frame_2 before frame_10).
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vvf_models.data.chain import LazyEpisodes, files_fingerprint
from vvf_models.data.episode import Episode
from vvf_models.data.labels import label_files, read_labels, warn_of_strays
from vvf_models.data.natural import natural, natural_key
from vvf_models.data.options import ReadOptions, make_small
from vvf_models.data.views import CAMERA, Stretch, episode_of_views
from vvf_models.errors import UserError

SUFFIXES = ('.jpg', '.jpeg', '.png')


class FrameFolderEpisodes(LazyEpisodes):
    """A folder of folders of frames; a folder that itself holds frames is one episode.

    An episode with frames of its own has one camera, 'video'; otherwise each folder in it is one.
    Heeds all options but clip_frames: an episode is never cut. Stamps and fps need to know how many
    frames a second there are: from the labels, or from folder_fps.
    """

    def __init__(self, path: Path | str, options: ReadOptions | None = None) -> None:
        """Lists the folders.

        Raises:
            UserError: There is no folder with frames.
        """
        path = Path(path)
        self._options = options or ReadOptions()
        self.folders = frame_folders(path)
        if not self.folders:
            raise UserError(f'{path} holds no folder of .jpg or .png frames; name another one.')
        if self.folders != [path]:
            warn_of_strays(self.folders)
        known = {camera for folder in self.folders for camera in _cameras(folder)}
        self.cameras = self._options.cameras or tuple(sorted(known, key=natural_key))

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.folders)

    def fingerprint(self) -> str:
        """Changes when a file is added, removed or written anew, or is read in another way."""
        files = [
            file
            for folder in self.folders
            for camera in _cameras(folder).values()
            for file in frames_in(camera)
        ]
        labels = dict.fromkeys(file for folder in self.folders for file in label_files(folder))
        return f'{self._options} {files_fingerprint([*files, *labels])}'

    def source(self, number: int) -> str:
        """The episode's folder."""
        return str(self.folders[number])

    def read(self, number: int) -> Episode:
        """Decodes an episode.

        Raises:
            UserError: A camera is missing, a frame cannot be decoded, frames differ in size, the
                cameras differ too much in length, or a label is wrong.
        """
        folder, options = self.folders[number], self._options
        labels = read_labels(folder)
        found = _cameras(folder)
        views = {}
        for camera in self.cameras:
            if camera not in found:
                raise UserError(
                    f'{folder} has no frames of camera "{camera}", only of '
                    f'{", ".join(found) or "none"}; add them, or name the cameras to read.'
                )
            crop = camera == CAMERA if options.crop is None else options.crop
            rate_hz = labels.fps or options.folder_fps
            views[camera] = _read(found[camera], options, crop, rate_hz)
        return episode_of_views(
            folder, views, labels, episode_id=folder.name, tolerance=options.tolerance
        )


def frame_folders(path: Path) -> list[Path]:
    """The episodes at a path, in natural order."""
    if _has_frames(path):
        return [path]
    return natural(folder for folder in _folders(path) if _cameras(folder))


def frames_in(folder: Path) -> list[Path]:
    """The frames of a folder, in natural order."""
    return natural(file for file in folder.iterdir() if _is_frame(file))


def _cameras(folder: Path) -> dict[str, Path]:
    if _has_frames(folder):
        return {CAMERA: folder}
    return {camera.name: camera for camera in natural(_folders(folder)) if _has_frames(camera)}


def _folders(path: Path) -> list[Path]:
    return [p for p in path.iterdir() if p.is_dir() and not p.name.startswith('.')]


def _has_frames(folder: Path) -> bool:
    return any(_is_frame(file) for file in folder.iterdir())


def _is_frame(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith('.')


def _read(folder: Path, options: ReadOptions, crop: bool, rate_hz: float) -> Stretch:
    files = frames_in(folder)
    numbers = np.arange(len(files))
    slots = numbers
    if 0 < options.fps < rate_hz:
        # The frame nearest to each multiple of 1 / fps, as of a video.
        slots = np.floor((numbers + 0.5) / rate_hz * options.fps + 1e-6).astype(np.int64)
        slots, numbers = np.unique(slots, return_index=True)
    images = [make_small(_decode(files[n]), options.image_size, crop) for n in numbers]
    stamps = numbers / rate_hz if rate_hz else np.zeros(0)
    return Stretch(images, stamps, slots, numbers, len(files))


def _decode(file: Path) -> NDArray[np.uint8]:
    try:
        data = np.fromfile(file, np.uint8)
    except OSError as error:
        raise UserError(f'{file} cannot be read: {error.strerror}.') from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if data.size else None
    if image is None:
        raise UserError(f'{file} is no image that can be decoded; replace or remove it.')
    return np.asarray(image, np.uint8)
