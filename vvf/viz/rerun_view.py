# SPDX-License-Identifier: Apache-2.0
"""A bag as a recording for the Rerun viewer: cameras, joints, values, actions, events.

Everything stands on one time line, the seconds since the episode's first frame. Pictures that were
recorded as JPEG or PNG go over as they are. Rerun sends usage statistics unless its configuration
says otherwise: while anything of it runs here, a configuration of our own does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vvf.bags.frames import header_stamp
from vvf.bags.reader import BagReader, DecodeError, open_bag
from vvf.errors import UserError
from vvf.images import ImageError, encode_jpeg, to_rgb
from vvf.viz.bag_notes import camera_topics, take_notes
from vvf.viz.canvas import COLOURS
from vvf.viz.cards import EpisodeReport
from vvf.viz.episodes import read_episode

TIMELINE = 'episode'
LOOPBACK = '127.0.0.1'

_MEDIA = {b'\xff\xd8': 'image/jpeg', b'\x89P': 'image/png'}
_QUALITY = 90

#: Entity -> its times in seconds and its numbers.
_Series = dict[str, tuple[list[float], list[float]]]


def write_recording(
    path: Path,
    bag: Path,
    relabelled: Sequence[Path] = (),
    *,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, int]:
    """Write an .rrd file that the Rerun viewer opens.

    Args:
        path: The file; its folder is made.
        bag: The episode.
        relabelled: Its siblings with offline values.
        progress: Told how many messages have been read.

    Returns:
        How many rows each entity has.

    Raises:
        UserError: It is no bag.
    """
    episode = read_episode(bag, relabelled)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f'.{path.name}.partial')
    with without_statistics(), open_bag(bag) as reader:
        import rerun as rr

        recording = rr.RecordingStream('vvf', recording_id=episode.name)
        recording.set_log_time_enabled(False)
        recording.set_log_tick_enabled(False)
        cameras = camera_topics(reader)
        recording.save(draft, default_blueprint=_layout(list(cameras), episode))
        recording.send_recording_name(episode.name)
        rows = _messages(rr, recording, reader, cameras, progress)
        rows |= _tracks(rr, recording, episode)
        rows |= _texts(rr, recording, episode)
        recording.flush()
        recording.disconnect()
    draft.replace(path)
    return rows


def show(path: Path) -> None:
    """Open a recording in the viewer and wait until it is closed.

    Raises:
        UserError: There is no screen, or the viewer ends with an error.
    """
    if sys.platform == 'linux' and not {'DISPLAY', 'WAYLAND_DISPLAY'} & os.environ.keys():
        raise UserError(
            'there is no screen here: write a file with --save FILE.rrd, and open it with `rerun '
            'FILE.rrd` on a machine that has one'
        )
    with without_statistics():
        done = subprocess.run(viewer_command(path), check=False)
    if done.returncode:
        raise UserError(
            f'the Rerun viewer ended with {done.returncode}: write a file with --save FILE.rrd, '
            'and open it elsewhere'
        )


def viewer_command(path: Path) -> list[str]:
    """How the viewer is started: by itself it would listen on every network."""
    return [sys.executable, '-m', 'rerun', str(path), '--bind', LOOPBACK, '--port', 'auto']


@contextmanager
def without_statistics() -> Iterator[Path]:
    """Turn Rerun's usage statistics off, here and in what is started from here."""
    name = 'XDG_CONFIG_HOME'
    before = os.environ.get(name)
    with tempfile.TemporaryDirectory(prefix='vvf-rerun-') as folder:
        file = Path(folder) / 'rerun' / 'analytics.json'
        file.parent.mkdir()
        about = {
            'analytics_enabled': False,
            'analytics_id': '',
            'metadata': {},
            'config_file_path': str(file),
            'data_dir_path': str(Path(folder) / 'data'),
        }
        file.write_text(json.dumps(about), 'utf-8')
        os.environ[name] = folder
        try:
            yield file
        finally:
            if before is None:
                del os.environ[name]
            else:
                os.environ[name] = before


def _layout(cameras: Sequence[str], episode: EpisodeReport) -> Any:
    """Cameras above, curves in the middle, events below."""
    import rerun.blueprint as rrb

    views = [rrb.Spatial2DView(origin=f'cameras/{name}', name=name) for name in cameras]
    axis = rrb.ScalarAxis(range=(0.0, 1.0))
    curves = [rrb.TimeSeriesView(origin='joints', name='joints')]
    if any(episode.tracks):
        curves = [
            rrb.TimeSeriesView(origin='progress', name='progress', axis_y=axis),
            rrb.TimeSeriesView(origin='advantage', name='advantage'),
            *curves,
        ]
    curves.append(rrb.TimeSeriesView(origin='action', name='action'))
    below = rrb.Horizontal(
        rrb.TextLogView(origin='events', name='events'),
        rrb.TextDocumentView(origin='about', name='about'),
    )
    layout = rrb.Vertical(
        rrb.Horizontal(*views), rrb.Horizontal(*curves), below, row_shares=[4, 3, 1]
    )
    return rrb.Blueprint(layout, collapse_panels=True)


def _messages(
    rr: Any,
    recording: Any,
    reader: BagReader,
    cameras: dict[str, str],
    progress: Callable[[int], None],
) -> dict[str, int]:
    """Pictures at once, numbers as columns at the end."""
    start = take_notes(reader).start_ns
    names = {topic: name for name, topic in cameras.items()}
    rows: dict[str, int] = defaultdict(int)
    series: _Series = defaultdict(lambda: ([], []))
    for count, (topic, kind, recorded, cdr) in enumerate(reader.messages(), 1):
        progress(count)
        image = topic in names
        if not image and kind not in _NUMBERS:
            continue
        try:
            message = reader.deserialize(cdr, kind)
            t = ((header_stamp(cdr, kind) or recorded) - start) * 1e-9
            if image:
                picture = _picture(message)
                recording.set_time(TIMELINE, duration=t)
                media = _MEDIA[picture[:2]]
                entity = f'cameras/{names[topic]}'
                recording.log(entity, rr.EncodedImage(contents=picture, media_type=media))
                rows[entity] += 1
                continue
        except (DecodeError, ImageError):
            continue
        for entity, number in _NUMBERS[kind](message).items():
            series[entity][0].append(t)
            series[entity][1].append(number)
    for entity, (times, numbers) in series.items():
        order = np.argsort(times, kind='stable')
        _send(rr, recording, entity, np.array(times)[order], np.array(numbers)[order])
        rows[entity] = len(times)
    return dict(rows)


def _picture(message: Any) -> bytes:
    """A message as JPEG or PNG."""
    data = getattr(message, 'data', b'')
    if hasattr(message, 'format') and bytes(data[:2]) in _MEDIA:
        return bytes(data)
    return encode_jpeg(to_rgb(message), _QUALITY)


def _joints(message: Any) -> dict[str, float]:
    return {f'joints/{n}': float(p) for n, p in zip(message.name, message.position, strict=False)}


def _pose(message: Any) -> dict[str, float]:
    position = message.pose.position
    return {f'pose/{axis}': float(getattr(position, axis)) for axis in 'xyz'}


def _action(message: Any) -> dict[str, float]:
    """The first step of a chunk: what was to be done at once."""
    step = list(message.data)[: int(message.dim)]
    names = list(message.names) or [str(i) for i in range(len(step))]
    numbers = {f'action/{n}': float(v) for n, v in zip(names, step, strict=False)}
    arms = len(message.gripper) // max(1, int(message.horizon))
    sides = ('left_', 'right_') if arms > 1 else ('',)
    grippers = zip(sides, message.gripper, strict=False)
    return numbers | {f'action/{side}gripper': float(opening) for side, opening in grippers}


_NUMBERS: dict[str, Callable[[Any], dict[str, float]]] = {
    'sensor_msgs/msg/JointState': _joints,
    'geometry_msgs/msg/PoseStamped': _pose,
    'vvf_msgs/msg/Action': _action,
}


def _tracks(rr: Any, recording: Any, episode: EpisodeReport) -> dict[str, int]:
    rows = {}
    for number, track in enumerate(episode.tracks):
        # Rerun's own colours are by name, and may well be the same.
        colour = rr.SeriesLines(colors=[COLOURS[number % len(COLOURS)]])
        for kind in ('progress', 'value', 'advantage', 'uncertainty'):
            numbers = getattr(track, kind)
            known = np.isfinite(numbers)
            if known.any():
                entity = f'{kind}/{track.name}'
                _send(rr, recording, entity, track.times[known], numbers[known])
                recording.log(_path(rr, entity), colour, static=True)
                rows[entity] = int(known.sum())
    return rows


def _texts(rr: Any, recording: Any, episode: EpisodeReport) -> dict[str, int]:
    """Events, and what is known of the whole episode."""
    lines = [
        (mark.t, mark.label, 'ERROR' if mark.kind == 'error' else 'INFO') for mark in episode.marks
    ]
    for begin, end in episode.human:
        lines += [(begin, 'a human takes over', 'WARN'), (end, 'a human gives back', 'WARN')]
    lines.append((episode.seconds, f'end: {episode.outcome}', 'INFO'))
    for t, text, level in sorted(lines):
        recording.set_time(TIMELINE, duration=t)
        recording.log('events', rr.TextLog(text, level=level))
    facts = [episode.instruction, f'{episode.outcome}, {episode.seconds:.1f} s']
    about = '\n\n'.join(filter(None, [*facts, *episode.complaints]))
    recording.log('about', rr.TextDocument(about), static=True)
    return {'events': len(lines), 'about': 1}


def _send(rr: Any, recording: Any, entity: str, times: Any, numbers: Any) -> None:
    recording.send_columns(
        _path(rr, entity),
        indexes=[rr.TimeColumn(TIMELINE, duration=times)],
        columns=rr.Scalars.columns(scalars=numbers),
    )


def _path(rr: Any, entity: str) -> str:
    """An entity's path; names of joints and models may hold what has a meaning in paths."""
    return '/'.join(rr.escape_entity_path_part(part) for part in entity.split('/'))
