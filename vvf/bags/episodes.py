# SPDX-License-Identifier: Apache-2.0
"""Recorded bags as episodes to train on.

Frames are put together by the same synchroniser as in the live nodes and the relabeller, and taken
at the task's rate, since that is the rate of the steps that models know; where a policy or a human
acted, the frames that were acted upon are preferred.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vvf.actions import DELTA_DIM, join_rows
from vvf.bags.control import Control
from vvf.bags.folders import find_bags
from vvf.bags.frames import (
    ACTION_TYPE,
    EVENT_TOPIC,
    EVENT_TYPE,
    Frame,
    FrameSource,
    header_stamp,
)
from vvf.bags.reader import BagReader, DecodeError, open_bag
from vvf.errors import UserError
from vvf.task import ActionSpec, TaskSpec
from vvf.task_overlay import sides_of
from vvf_models.data.chain import LazyEpisodes, files_fingerprint
from vvf_models.data.episode import Episode, Event
from vvf_models.data.options import ReadOptions
from vvf_models.errors import UserError as ModelsUserError

#: Share of the frames that may be lost to cameras or joints that were late or away.
LOST_SHARE = 0.1

_SUCCESS = 'success'
_OUTCOMES = {_SUCCESS: True, 'failure': False}
_KINDS = {'ee_delta': 'KIND_EE_DELTA', 'joint_position': 'KIND_JOINT_POSITION'}


class BagEpisodes(LazyEpisodes):
    """One episode for each bag.

    Cameras and state are those of the task file; actions are those in effect at each frame, from
    the task's action topic, where the bag has any: the step of the newest chunk that is due, and
    once the chunk is used up, or before the first, none (no displacement, or the joint positions
    commanded last; the gripper as it is). A success is done from the first milestone called
    'success' on, else from its end event on, else in the last frame.

    Args:
        path: A bag, or a folder of bags.
        task: The task; that in each bag where it is None.
        options: Heeds cameras and image_size; the frames come at the task's rate.

    Raises:
        UserError: There is no bag, or two have the same name.
    """

    def __init__(
        self, path: Path, task: TaskSpec | None = None, options: ReadOptions | None = None
    ) -> None:
        self.bags = find_bags([path])
        self._task = task
        self._options = options or ReadOptions()

    def __len__(self) -> int:
        """Number of bags."""
        return len(self.bags)

    def source(self, number: int) -> str:
        """The bag."""
        return str(self.bags[number])

    def fingerprint(self) -> str:
        """Changes when a bag or the task does."""
        files = [f for bag in self.bags for f in (sorted(bag.iterdir()) if bag.is_dir() else [bag])]
        task = self._task.to_yaml() if self._task else ''
        return f'{self._options} {task} {files_fingerprint(f for f in files if f.is_file())}'

    def read(self, number: int) -> Episode:
        """Reads a bag.

        Raises:
            vvf_models.errors.UserError: It is damaged, holds no task file, lacks a topic, too many
                frames could not be put together, or a message in it is malformed.
        """
        try:
            return self._read(self.bags[number])
        except UserError as error:  # readers below know only their own
            raise ModelsUserError(str(error)) from error

    def _read(self, path: Path) -> Episode:
        with open_bag(path) as reader:
            task = self._task or reader.task
            if task is None:
                raise UserError(f'{path} holds no task file: name the task with --task')
            names = self._options.cameras or tuple(camera.name for camera in task.cameras)
            source = FrameSource(
                reader,
                task,
                {name: name for name in names},
                self._options.image_size,
                state=bool(task.state),
            )
            notes = read_notes(reader, task, source.reference_topic)
            acted_on = {action.stamp_ns for action in notes.actions}
            source.wanted = choose_stamps(notes.stamps, acted_on, task.rate_hz)
            frames = list(source)
            check_frames(path, reader, source, frames)
            return assemble(reader, task, notes, frames, source.control)


@dataclass(frozen=True)
class RecordedAction:
    """A chunk of commands.

    Attributes:
        stamp_ns: Stamp of the frame that it answers.
        steps: (horizon, A), see `vvf.actions`.
        dt_ns: Duration of a step.
    """

    stamp_ns: int
    steps: npt.NDArray[np.float32]
    dt_ns: int


@dataclass(frozen=True)
class Notes:
    """What a bag holds besides observations; events as they were recorded."""

    stamps: list[int]
    actions: list[RecordedAction]
    events: list[tuple[int, Any]]


def read_notes(reader: BagReader, task: TaskSpec, reference: str) -> Notes:
    """Read the stamps of the frames on topic `reference`, the actions and the events.

    Raises:
        UserError: A message is damaged, or the actions are not those of the task.
    """
    action_topic = task.action.topic if task.action else ''
    notes, acted, control = Notes([], [], []), [], Control()
    topics = {reference, action_topic, EVENT_TOPIC} & reader.topics.keys()
    for topic, kind, recorded_ns, cdr in reader.messages(topics):
        stamp = header_stamp(cdr, kind) or recorded_ns
        if topic == reference:
            notes.stamps.append(stamp)
            continue
        wanted = EVENT_TYPE if topic == EVENT_TOPIC else ACTION_TYPE
        if kind != wanted:
            raise UserError(
                f'{reader.path}: {topic} is {kind} and not {wanted}: choose another '
                'task with --task'
            )
        try:
            message = reader.deserialize(cdr, kind)
        except DecodeError as error:
            raise UserError(f'{reader.path}: {topic} holds a damaged message: {error}') from error
        if topic == EVENT_TOPIC:
            notes.events.append((stamp, message))
            control.add_event(stamp, message)
        else:
            acted.append((stamp, message))
    openings = np.ones(len(sides_of(task)), np.float32)
    for stamp, message in _obeyed(acted, control):
        if task.action:
            action = _action(reader.path, task.action, stamp, message, openings)
            openings = action.steps[-1].reshape(len(openings), -1)[:, -1]
            notes.actions.append(action)
    notes.actions.sort(key=lambda action: action.stamp_ns)
    return notes


def _obeyed(acted: Sequence[tuple[int, Any]], control: Control) -> Iterator[tuple[int, Any]]:
    """The actions that the arm listened to: a policy may go on while a human has the arm.

    Recorders that do not say whose the actions are have nobody else's meanwhile.
    """
    by_hand = [stamp for stamp, message in acted if message.source == message.SOURCE_HUMAN]
    spans = [
        (begin, end)
        for begin, end in control.interventions()
        if any(begin <= stamp < end for stamp in by_hand)
    ]
    for stamp, message in acted:
        human = message.source == message.SOURCE_HUMAN
        if human or not any(begin <= stamp < end for begin, end in spans):
            yield stamp, message


def _action(
    path: Path, spec: ActionSpec, stamp: int, message: Any, openings: npt.NDArray[np.float32]
) -> RecordedAction:
    right_kind = int(message.kind) == int(getattr(message, _KINDS[spec.kind]))
    rows = join_rows(
        message.data, message.gripper, int(message.horizon), int(message.dim), openings
    )
    if not right_kind or (rows is not None and rows.shape[1] != spec.dim):
        raise UserError(
            f'{path}: the actions are not those of the task ({spec.kind} of {spec.dim} numbers): '
            'choose another task with --task'
        )
    if rows is None or not np.isfinite(rows).all() or not 1e-4 <= message.dt < 1e3:
        raise UserError(f'{path}: an action is malformed: leave the bag out')
    steps = rows.astype(np.float32)
    return RecordedAction(stamp, steps, round(float(message.dt) * 1e9))


def choose_stamps(stamps: Sequence[int], acted_on: set[int], rate_hz: float) -> frozenset[int]:
    """Frames at a rate, nearest to where they are due; those that were acted upon are preferred.

    Args:
        stamps: Of all frames, in ns.
        acted_on: Stamps of the frames that an action answers.
        rate_hz: Wanted rate; frames that come more slowly are all taken.
    """
    period = 1e9 / rate_hz
    ordered = sorted(set(stamps))
    half = 0.5 * float(np.median(np.diff(ordered))) if len(ordered) > 1 else 0.0
    answered = np.array(sorted(acted_on), np.int64)
    chosen: list[int] = []
    due = -np.inf
    for stamp in ordered:
        if stamp in acted_on:
            # A policy may be early by a quarter of its period; see the policy node.
            take = stamp >= due - 0.25 * period
        else:
            following = np.searchsorted(answered, stamp)
            soon = following < len(answered) and answered[following] - stamp < 0.75 * period
            take = stamp + half >= due and not soon
        if take:
            chosen.append(stamp)
            # On the grid, unless the frames fell behind it or an action began a new one.
            behind = stamp in acted_on or not stamp - due < period
            due = (stamp if behind else due) + period
    return frozenset(chosen)


def check_frames(
    path: Path, reader: BagReader, source: FrameSource, frames: Sequence[Frame]
) -> None:
    """Refuse an episode of which too much is lost.

    Raises:
        UserError: The bag is damaged, or frames are malformed, missing or too few.
    """
    if reader.loss:
        raise UserError(f'{path} is damaged: {reader.loss}: leave it out')
    lost = dict(source.lost)
    for reason, what in (
        ('undecodable', 'a message that cannot be decoded'),
        ('state', 'a state that is not finite or lacks a joint'),
    ):
        if lost.get(reason):
            raise UserError(f'{path}: {lost[reason]} frames have {what}: leave the bag out')
    count = sum(lost.values())
    if count > LOST_SHARE * source.frames_read:
        why = ', '.join(f'{n} {reason}' for reason, n in lost.items())
        raise UserError(
            f'{path}: {count} of {source.frames_read} frames cannot be put together ({why}): '
            'leave the bag out, or loosen sync in the task'
        )
    if len(frames) < 2:
        raise UserError(f'{path} holds {len(frames)} frames, too few for an episode: leave it out')


def assemble(
    reader: BagReader, task: TaskSpec, notes: Notes, frames: Sequence[Frame], control: Control
) -> Episode:
    """The episode of some frames; it has images as far as the frames have."""
    stamps = np.array([frame.stamp_ns for frame in frames], np.int64)
    success = _OUTCOMES.get(reader.custom_data.get('outcome', ''))
    events, done_ns = _events(notes.events, stamps)
    success_index = -1
    if success:
        success_index = len(frames) - 1 if done_ns is None else _frame_at(stamps, done_ns)
    actions = None
    if notes.actions and task.action:
        actions = actions_at(stamps, notes.actions, task.action.kind)
    said = notes.actions or EVENT_TOPIC in reader.topics
    states = [frame.state for frame in frames if frame.state is not None]
    return Episode(
        images={name: np.stack([f.images[name] for f in frames]) for name in frames[0].images},
        state=np.stack(states) if states else None,
        actions=actions,
        success=success,
        success_index=success_index,
        instruction=reader.custom_data.get('instruction') or task.instruction,
        episode_id=reader.episode_id,
        stamps=(stamps - stamps[0]) * 1e-9,
        interventions=control.human_at(stamps) if said else None,
        events=events,
        displacements=task.action.kind == 'ee_delta' if task.action else None,
        arms=len(sides_of(task)),
    )


def actions_at(
    stamps: npt.NDArray[np.int64], actions: Sequence[RecordedAction], kind: str
) -> npt.NDArray[np.float32]:
    """The action in effect at each frame.

    Args:
        stamps: (T,) of the frames, ns.
        actions: In order of their stamps; at least one.
        kind: 'ee_delta' or 'joint_position'.

    Returns:
        (T, A).
    """
    starts = np.array([action.stamp_ns for action in actions])
    width = actions[0].steps.shape[1]
    one = width // max(1, width // DELTA_DIM)
    moves = np.arange(width) % one != one - 1  # all but the grippers, which stay as they are
    rows = []
    for stamp in stamps:
        number = int(np.searchsorted(starts, stamp, side='right')) - 1
        action = actions[max(0, number)]
        step = round((int(stamp) - action.stamp_ns) / action.dt_ns)
        in_effect = number >= 0 and step < len(action.steps)
        row = action.steps[min(max(0, step), len(action.steps) - 1)].copy()
        if not in_effect and kind == 'ee_delta':
            row[moves] = 0.0
        rows.append(row)
    return np.stack(rows)


def _events(
    recorded: Iterable[tuple[int, Any]], stamps: npt.NDArray[np.int64]
) -> tuple[tuple[Event, ...], int | None]:
    """Milestones and errors, and when the episode succeeded, if an event says so."""
    events, milestone_ns, end_ns = [], None, None
    for stamp, message in recorded:
        for code, kind in ((message.MILESTONE, 'milestone'), (message.ERROR, 'error')):
            if message.event == code:
                name = str(message.detail) or kind
                events.append(Event(name, _frame_at(stamps, stamp), kind))
                if kind == 'milestone' and name == _SUCCESS and milestone_ns is None:
                    milestone_ns = stamp
        if message.event == message.END and message.outcome == _SUCCESS:
            end_ns = stamp
    return tuple(events), milestone_ns if milestone_ns is not None else end_ns


def _frame_at(stamps: npt.NDArray[np.int64], stamp_ns: int) -> int:
    """The first frame at or after a time, or the last one."""
    return min(len(stamps) - 1, int(np.searchsorted(stamps, stamp_ns)))
