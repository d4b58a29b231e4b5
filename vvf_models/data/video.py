# SPDX-License-Identifier: Apache-2.0
"""Folders of videos: clips without any labels, labelled episodes, and several views of one episode.

What people know about them lies beside them; see `vvf_models.data.labels`. There is no state and
there are no actions. Stamps are seconds since the video's first frame, as the container has them.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vvf_models.data.chain import LazyEpisodes, files_fingerprint
from vvf_models.data.episode import Episode
from vvf_models.data.labels import KEYFRAMES, label_files, read_labels, warn_of_strays
from vvf_models.data.natural import natural, natural_key
from vvf_models.data.options import ReadOptions, make_small
from vvf_models.data.video_file import is_video, read_video, video_facts
from vvf_models.data.views import CAMERA, Stretch, episode_of_views
from vvf_models.errors import UserError


class VideoEpisodes(LazyEpisodes):
    """A video file, or all those of a folder, in the natural order of their names.

    A video that nobody labelled with an outcome or with events is cut into equal clips where it is
    longer than `clip_frames`; a labelled one is one episode, however long. The only camera is
    called 'video'. Heeds the options image_size, fps, clip_frames and crop.
    """

    def __init__(self, path: Path | str, options: ReadOptions | None = None) -> None:
        """Reads the headers. A file that cannot be read counts as one episode, and is named then.

        Raises:
            UserError: There is no video, or a file of labels is wrong.
        """
        path = Path(path)
        self._options = options or ReadOptions()
        self.files = views_in(path) if path.is_dir() else [path]
        if not self.files:
            raise UserError(f'{path} holds no video; name another folder.')
        if path.is_dir():
            warn_of_strays(self.files)
        self._clips: list[tuple[Path, int, int]] = []
        for file in self.files:
            clips = self._count(file)
            self._clips += [(file, number, clips) for number in range(clips)]

    def __len__(self) -> int:
        """Number of clips."""
        return len(self._clips)

    def fingerprint(self) -> str:
        """Changes when a file is added, removed or written anew, or is read in another way."""
        return _fingerprint(self._options, self.files, self.files)

    def source(self, number: int) -> str:
        """The clip's file."""
        return str(self._clips[number][0])

    def read(self, number: int) -> Episode:
        """Decodes a clip.

        Raises:
            UserError: The file is damaged or cut off, or the clip is too short.
        """
        file, clip, clips = self._clips[number]
        options = self._options
        start, end = 0.0, math.inf
        if clips > 1:
            frames, rate = self._expected(file)
            start, end = (round(c * frames / clips) / rate for c in (clip, clip + 1))
            end = end if clip + 1 < clips else math.inf
        found = read_video(
            file, _small(options, options.crop is not False), fps=options.fps, start=start, end=end
        )
        labels = read_labels(file)
        fewest = 2 if labels.whole else options.clip_frames[0]
        if len(found.images) < fewest:
            rate_text = f' at {options.fps:g} a second' if options.fps else ''
            raise UserError(
                f'{file} gives {len(found.images)} frames{rate_text}, and fewer than {fewest} make '
                'no clip; take more of them, or remove it.'
            )
        name = file.stem if clips == 1 else f'{file.stem}_{clip:04d}'
        return episode_of_views(file, {CAMERA: found}, labels, episode_id=name, tolerance=0)

    def _count(self, file: Path) -> int:
        if read_labels(file).whole:
            return 1
        try:
            frames, _ = self._expected(file)
        except UserError:
            return 1  # named when it is read, so that the other files can be used
        return max(1, math.ceil(frames / self._options.clip_frames[1]))

    def _expected(self, file: Path) -> tuple[int, float]:
        """How many frames will be taken, about, and how many a second."""
        facts = video_facts(file)
        rate = min(self._options.fps or facts.rate_hz, facts.rate_hz)
        return round(facts.seconds * rate), rate


class ViewEpisodes(LazyEpisodes):
    """A folder of folders, each with the synchronised videos of one episode, named by camera.

    Frames are put together by their stamps: those of the first camera count. Heeds the options
    cameras, image_size, fps, crop and tolerance; an episode is never cut.
    """

    def __init__(self, path: Path | str, options: ReadOptions | None = None) -> None:
        """Lists the folders. A folder that itself holds views and keyframes is one episode.

        Raises:
            UserError: There is no such folder.
        """
        path = Path(path)
        self._options = options or ReadOptions()
        self.folders = view_folders(path)
        if not self.folders:
            raise UserError(f'{path} holds no folder with videos; name another one.')
        if self.folders != [path]:
            warn_of_strays(self.folders)
        known = {file.stem for folder in self.folders for file in views_in(folder)}
        self.cameras = self._options.cameras or tuple(sorted(known, key=natural_key))

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.folders)

    def fingerprint(self) -> str:
        """Changes when a file is added, removed or written anew, or is read in another way."""
        files = [file for folder in self.folders for file in views_in(folder)]
        return _fingerprint(self._options, files, self.folders)

    def source(self, number: int) -> str:
        """The episode's folder."""
        return str(self.folders[number])

    def read(self, number: int) -> Episode:
        """Decodes all views of an episode.

        Raises:
            UserError: A camera is missing, a file damaged or cut off, the views differ too much in
                length, or a label is wrong.
        """
        folder, options = self.folders[number], self._options
        files = {file.stem: file for file in views_in(folder)}
        views: dict[str, Stretch] = {}
        for camera in self.cameras:
            if camera not in files:
                raise UserError(
                    f'{folder} has no video of camera "{camera}", only of '
                    f'{", ".join(files) or "none"}; add it, or name the cameras to read.'
                )
            small = _small(options, options.crop is True)
            views[camera] = read_video(files[camera], small, fps=options.fps)
        return episode_of_views(
            folder,
            views,
            read_labels(folder),
            episode_id=folder.name,
            tolerance=options.tolerance,
        )


def views_in(folder: Path) -> list[Path]:
    """The videos of a folder, in natural order."""
    return natural(file for file in folder.iterdir() if is_video(file))


def view_folders(path: Path) -> list[Path]:
    """The folders of views at a path, in natural order; the path itself if it has keyframes."""
    if (path / KEYFRAMES).is_file():
        return [path]
    folders = (f for f in path.iterdir() if f.is_dir() and not f.name.startswith('.'))
    return natural(folder for folder in folders if views_in(folder))


def _small(options: ReadOptions, crop: bool) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    return lambda image: make_small(image, options.image_size, crop)


def _fingerprint(options: ReadOptions, files: Sequence[Path], labelled: Sequence[Path]) -> str:
    labels = dict.fromkeys(file for item in labelled for file in label_files(item))
    return f'{options} {files_fingerprint([*files, *labels])}'
