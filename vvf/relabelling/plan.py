# SPDX-License-Identifier: Apache-2.0
"""Which episodes lie at some paths, and whether the models can score them: nothing is decoded."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vvf.bags.folders import bag_name, find_bags
from vvf.bags.frames import FrameSource
from vvf.bags.reader import BagReader, open_bag
from vvf.data import kind_of_data
from vvf.errors import UserError, is_user_error
from vvf.relabelling.options import ModelSpec, RelabelOptions
from vvf.task import TaskSpec
from vvf_models.data.chain import files_fingerprint, fingerprint, source
from vvf_models.data.episode import Episode
from vvf_models.data.labels import label_files
from vvf_models.data.open import open_episodes
from vvf_models.data.options import ReadOptions

#: A camera of the data, and the side in pixels that its images are scaled to.
View = tuple[str, int]


@dataclass(frozen=True)
class Needs:
    """What a model has to be given.

    Attributes:
        name: The model's, for messages.
        cameras: Its cameras.
        image_size: Side of its images in pixels.
        state_dim: Length of its state, 0 for none.
    """

    name: str
    cameras: tuple[str, ...]
    image_size: int
    state_dim: int


@dataclass(frozen=True)
class Item:
    """One episode to score: a bag, or some of the episodes of a collection.

    Attributes:
        name: Unique in the run, and the name of what is written.
        path: The bag, or the collection.
        kind: 'bags' or one of `vvf_models.data.open.KINDS`.
        numbers: The episodes of the collection; several are the parts of one long video. Empty for
            a bag.
        fingerprint: Changes when the data do.
        frames: How many there may be, 0 if nobody knows.
    """

    name: str
    path: Path
    kind: str
    numbers: tuple[int, ...] = ()
    fingerprint: str = ''
    frames: int = 0


def needs_of(model: ModelSpec) -> Needs:
    """What a checkpoint needs, by its configuration alone.

    Raises:
        UserError: It is missing, damaged or no value model.
    """
    # Imported here, since torch takes a second that `vvf relabel --help` need not wait for.
    from vvf_models.checkpoints import MODULES, load_config
    from vvf_models.values.base import ValueModel

    kind, config = load_config(model.checkpoint)
    if not issubclass(MODULES[kind], ValueModel):
        raise UserError(
            f'{model.checkpoint} is a checkpoint of kind "{kind}", which is no value model.'
        )
    return Needs(model.name, tuple(config.cameras), config.image_size, config.state_dim)


def plan(
    paths: Sequence[Path],
    needs: Sequence[Needs],
    options: RelabelOptions,
    left_out: list[str],
) -> list[Item]:
    """The episodes at some paths, in order.

    Args:
        paths: Bags, folders of bags, and whatever else `vvf.data.open_data` knows.
        needs: What the models need.
        options: How data are read.
        left_out: Where --skip-bad asks for it, a sentence is added for each bag that is left out.

    Raises:
        UserError: There is nothing, it is not known, it does not fit the models, or two episodes
            have the same name.
    """
    items: list[Item] = []
    kinds = [(path, kind_of_data(path)) for path in paths]
    for bag in find_bags([path for path, kind in kinds if kind == 'bags']):
        try:
            items.append(_bag_item(bag, needs, options))
        except UserError as error:
            if not options.skip_bad:
                raise
            left_out.append(str(error))
    for path, kind in kinds:
        if kind != 'bags':
            items += _collection_items(path, kind, needs, options)
    seen: dict[str, Item] = {}
    for item in items:
        other = seen.setdefault(item.name, item)
        if other is not item:
            raise UserError(
                f'{other.path} and {item.path} both hold an episode called {item.name}: relabel '
                'them into different folders'
            )
    return items


def views_of_bag(
    task: TaskSpec, needs: Sequence[Needs], cameras: Mapping[str, str]
) -> list[dict[str, View]]:
    """For each model, the view that each of its cameras sees.

    Raises:
        UserError: The task lacks a camera or has another state.
    """
    views = []
    for need in needs:
        if cameras:
            matched = {camera: cameras.get(camera, camera) for camera in need.cameras}
            for name in matched.values():
                task.camera(name)
        else:
            matched = task.match_cameras(need.cameras, task.models.value_cameras)
        if need.state_dim and need.state_dim != task.state_dim:
            raise UserError(
                f'{need.name} wants a state of {need.state_dim} numbers, but task {task.name} '
                f'has {task.state_dim}: choose a checkpoint trained for this task'
            )
        views.append({name: (camera, need.image_size) for name, camera in matched.items()})
    return views


def frames_of_bag(
    reader: BagReader, task: TaskSpec, needs: Sequence[Needs], views: Sequence[dict[str, View]]
) -> FrameSource:
    """The bag's frames with every view that a model wants.

    Raises:
        UserError: The bag lacks a topic.
    """
    wanted = {view: None for some in views for view in some.values()}
    return FrameSource(
        reader,
        task,
        {view: view[0] for view in wanted},
        {view: view[1] for view in wanted},
        state=any(need.state_dim for need in needs),
    )


def task_of_bag(path: Path, reader: BagReader, options: RelabelOptions) -> TaskSpec:
    """The task that was given, else the bag's own.

    Raises:
        UserError: There is neither.
    """
    task = options.task or reader.task
    if task is None:
        raise UserError(f'{path} holds no task file: name the task with --task')
    return task


def open_collection(
    path: Path, kind: str, needs: Sequence[Needs], options: RelabelOptions
) -> Sequence[Episode]:
    """The episodes of a collection, at the models' size; kept open in this process.

    Images are decoded once: where models differ in size they are read at the largest, and each
    model scales them from there.

    Raises:
        UserError: It cannot be opened, or lacks a camera.
    """
    size = max(need.image_size for need in needs)
    cameras = tuple(
        dict.fromkeys(options.cameras.get(c, c) for need in needs for c in need.cameras)
    )
    # Each row of a LeRobot data set gets a value, at whatever rate it was recorded.
    fps = 0.0 if kind == 'lerobot' else options.reading.fps
    reading = replace(options.reading, image_size=size, fps=fps)
    return _opened(path, kind, cameras, reading)


@functools.lru_cache(maxsize=8)
def _opened(
    path: Path, kind: str, cameras: tuple[str, ...], reading: ReadOptions
) -> Sequence[Episode]:
    if kind not in ('lerobot', 'views'):
        return open_episodes(path, reading)
    if kind == 'lerobot':
        reading = replace(reading, fps=0.0)  # labels of some frames could not be joined to all
    try:
        return open_episodes(path, replace(reading, cameras=cameras))
    except Exception as error:
        # The only camera of the data may serve the only one of the models under another name.
        if len(cameras) > 1 or not is_user_error(error):
            raise
        return open_episodes(path, reading)


def _bag_item(path: Path, needs: Sequence[Needs], options: RelabelOptions) -> Item:
    with open_bag(path) as reader:
        task = task_of_bag(path, reader, options)
        frames = frames_of_bag(reader, task, needs, views_of_bag(task, needs, options.cameras))
        count = reader.recorded.get(frames.reference_topic, 0)
    # By size and time, as bags can be large.
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    mark = _digest(files_fingerprint(files), task.to_yaml())
    return Item(bag_name(path), path, 'bags', (), mark, count)


def _collection_items(
    path: Path, kind: str, needs: Sequence[Needs], options: RelabelOptions
) -> list[Item]:
    episodes = open_collection(path, kind, needs, options)
    whole = ''
    grouped: dict[str, list[int]] = {}
    for number in range(len(episodes)):
        where = source(episodes, number)
        # The clips of one video are its parts; any other source may well hold several episodes.
        grouped.setdefault(where if kind == 'videos' else f'{number}', []).append(number)
    items = []
    for numbers in grouped.values():
        file = Path(source(episodes, numbers[0]) or '/dev/null')
        if file.is_file() or file.is_dir():
            files = [file] if file.is_file() else sorted(file.iterdir())
            mark = files_fingerprint([*files, *label_files(file)])
            name = file.name
        else:
            whole = whole or fingerprint(episodes)
            mark = f'{whole} {numbers}'
            name = f'{path.resolve().name}_{numbers[0]:06d}'
        mark = _digest(mark, repr(options.reading), options.rate_hz, dict(options.cameras))
        items.append(Item(name, path, kind, tuple(numbers), mark))
    return items


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
