# SPDX-License-Identifier: Apache-2.0
"""What people said about a video or a folder of frames: a small JSON file of the same name.

Beside `pour_07.mp4` (or the folder `pour_07`) lies `pour_07.json`, with any of these entries:

    {
      "instruction": "pour the water into the cup",
      "success": true,
      "success_frame": 212,
      "failure_kind": "",
      "events": [{"name": "grasped", "frame": 61, "kind": "milestone"}],
      "fps": 30
    }

Frames are counted from 0 in the file itself, before any are left out. `success_frame` is the first
one in which the task is done, the last one if it is not given; `kind` is milestone, error or
nothing; `fps` is for folders of frames. Where many episodes share an instruction, a file
`task_instruction.json` beside them, a string or a list of which the first counts, gives it once.

A folder of views may hold `annotated_keyframes.json` instead, the sub-tasks in the form of
Robo-Dopamine: each sub-task that ends is a milestone.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vvf_models.data.episode import Event
from vvf_models.errors import UserError

KEYFRAMES = 'annotated_keyframes.json'
INSTRUCTION = 'task_instruction.json'

_ENTRIES = ('instruction', 'success', 'success_frame', 'failure_kind', 'events', 'fps')
_log = logging.getLogger(__name__)
_KINDS = ('milestone', 'error', '')


@dataclass(frozen=True)
class Labels:
    """Labels of one episode; frames are those of the file.

    Attributes:
        source: The file they are from, for messages.
        instruction: '' if unknown.
        success: None if unknown.
        success_frame: -1 if not given.
        failure_kind: '' if unknown.
        events: In order of their frames.
        fps: 0 if not given.
    """

    source: Path
    instruction: str = ''
    success: bool | None = None
    success_frame: int = -1
    failure_kind: str = ''
    events: tuple[Event, ...] = ()
    fps: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether they tell how the episode went, so that it must not be cut into clips."""
        return self.success is not None or bool(self.events)

    def at(self, frames: NDArray[np.int64], count: int) -> tuple[int, tuple[Event, ...]]:
        """The success index and the events in terms of the frames that were taken.

        Args:
            frames: (T,) their numbers in the file.
            count: Frames of the file.

        Raises:
            UserError: A label is of a frame that the file has not.
        """
        for frame in (self.success_frame, *(event.frame for event in self.events)):
            if frame >= count:
                raise UserError(
                    f'{self.source} labels frame {frame}, but there are only {count}; correct it.'
                )
        last = len(frames) - 1

        def index(frame: int) -> int:
            return min(last, int(np.searchsorted(frames, frame)))

        events = tuple(Event(e.name, index(e.frame), e.kind) for e in self.events)
        if not self.success:
            return -1, events
        return (last if self.success_frame < 0 else index(self.success_frame)), events


def read_labels(item: Path) -> Labels:
    """The labels of a video or folder; all unknown where nobody wrote any.

    Raises:
        UserError: A file with labels cannot be read or is wrong.
    """
    path = item.parent / f'{item.stem if item.is_file() else item.name}.json'
    keyframes = item / KEYFRAMES
    entries: dict[str, Any] = {}
    source = path
    if path.is_file():
        entries = _labels(path)
    if keyframes.is_file():
        source = path if entries.get('events') else keyframes
        entries.setdefault('events', _milestones(keyframes))
    shared = item.parent / INSTRUCTION
    if shared.is_file() and not entries.get('instruction'):
        entries['instruction'] = _instruction(shared)
    events = tuple(sorted(entries.pop('events', ()), key=lambda event: event.frame))
    return Labels(source, events=events, **entries)


def warn_of_strays(items: Sequence[Path]) -> None:
    """Logs the files that look like labels beside some items, but are those of none of them."""
    used = {file for item in items for file in label_files(item)}
    for folder in dict.fromkeys(item.parent for item in items):
        for file in sorted(folder.glob('*.json')):
            if file not in used:
                _log.warning('%s labels nothing: there is no data of that name', file)


def label_files(item: Path) -> list[Path]:
    """The files that `read_labels` reads, as far as they exist; for fingerprints."""
    name = f'{item.stem if item.is_file() else item.name}.json'
    files = (item.parent / name, item / KEYFRAMES, item.parent / INSTRUCTION)
    return [file for file in files if file.is_file()]


def _labels(path: Path) -> dict[str, Any]:
    data = _json(path)
    if not isinstance(data, dict):
        raise _wrong(path, 'it must be a mapping')
    unknown = [key for key in data if key not in _ENTRIES]
    if unknown:
        raise _wrong(path, f'there is no entry "{unknown[0]}", only {", ".join(_ENTRIES)}')
    checks = {
        'instruction': isinstance(data.get('instruction', ''), str),
        'success': data.get('success') is None or isinstance(data['success'], bool),
        'success_frame': _is_frame(data.get('success_frame', 0)),
        'failure_kind': isinstance(data.get('failure_kind', ''), str),
        'events': isinstance(data.get('events', []), list),
        'fps': _is_number(data.get('fps', 1)) and data.get('fps', 1) > 0,
    }
    for key, good in checks.items():
        if not good:
            raise _wrong(path, f'"{key}" is {json.dumps(data[key])}')
    if 'success_frame' in data and data.get('success') is not True:
        raise _wrong(path, 'there is a success_frame, but success is not true')
    if 'events' in data:
        data['events'] = [_event(path, entry) for entry in data['events']]
    return data


def _event(path: Path, entry: Any) -> Event:
    good = (
        isinstance(entry, dict)
        and not entry.keys() - {'name', 'frame', 'kind'}
        and isinstance(entry.get('name'), str)
        and _is_frame(entry.get('frame'))
        and entry.get('kind', '') in _KINDS
    )
    if not good:
        raise _wrong(path, f'{json.dumps(entry)} is no event with name, frame and kind')
    return Event(entry['name'], entry['frame'], entry.get('kind', ''))


def _milestones(path: Path) -> list[Event]:
    data = _json(path)
    events = []
    for entry in data if isinstance(data, list) else [data]:
        # Their files spell it so.
        name = isinstance(entry, dict) and (entry.get('anotation') or entry.get('annotation'))
        if not isinstance(name, str) or not _is_frame(entry.get('end_frame_id')):
            raise _wrong(path, f'{json.dumps(entry)} is no sub-task with a name and end_frame_id')
        events.append(Event(name, entry['end_frame_id'], 'milestone'))
    return events


def _instruction(path: Path) -> str:
    data = _json(path)
    texts = data if isinstance(data, list) else [data]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise _wrong(path, 'it must be a string or a list of strings')
    return str(texts[0])


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text('utf-8'))
    except (OSError, ValueError) as error:
        raise UserError(f'{path} is not readable JSON ({error}); correct or remove it.') from error


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_frame(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _wrong(path: Path, what: str) -> UserError:
    return UserError(f'{path}: {what}; correct it.')
