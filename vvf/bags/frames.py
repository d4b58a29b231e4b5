# SPDX-License-Identifier: Apache-2.0
"""Turns a recorded bag into the observations that a value model scores."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Container, Generator, Hashable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from vvf.bags.control import Control
from vvf.bags.reader import BagReader, DecodeError
from vvf.bags.typestore import typestore
from vvf.errors import UserError
from vvf.images import ImageError, to_rgb
from vvf.state import StateAssembler, StateError
from vvf.sync import Observation, Synchroniser
from vvf.task import TaskSpec
from vvf_models.data.options import make_small

VALUE_TOPIC = '/vvf/value'
VALUE_TYPE = 'vvf_msgs/msg/ValueEstimate'
EVENT_TOPIC = '/vvf/episode'
EVENT_TYPE = 'vvf_msgs/msg/EpisodeEvent'
ACTION_TYPE = 'vvf_msgs/msg/Action'
IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
_SUCCESS = 'success'

T = TypeVar('T')
UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Frame:
    """One observation of an episode.

    Attributes:
        stamp_ns: Stamp of the reference camera's image.
        recorded_ns: When the recorder wrote that image.
        images: (size, size, 3) uint8 RGB by what the source calls the view.
        state: (D,) float32; None where the model needs none.
    """

    stamp_ns: int
    recorded_ns: int
    images: dict[Any, UInt8Array]
    state: npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class _Raw:
    cdr: bytes
    type: str
    recorded_ns: int


class FrameSource:
    """Iterates over the frames of a bag that can be scored, and counts those that cannot.

    The frames are put together by the same synchroniser as in the live nodes.

    Args:
        reader: The bag.
        task: The task; its topics must be those of the bag.
        cameras: The task's camera by whatever the view is to be called.
        size: Images are resized to this side, as the model would; 0 keeps their shape. One for all
            views, or one for each; several views of one camera share the decoding.
        state: Whether the model needs the state.

    Attributes:
        frames_read: Frames of the reference camera that could be read from the bag.
        lost: Frames that cannot be scored, by reason; complete after the iteration.
        live_values: Whether the bag holds values already.
        wanted: Stamps of the frames to decode, in ns; all where it is None.
        success_ns: When the task was done: the first milestone called 'success', else the end of an
            episode that succeeded; None where no event says so. Complete after the iteration.
        control: When a human was in control; complete after the iteration.
        decode_seconds: What decoding and scaling took, over all threads.

    Raises:
        UserError: The bag lacks a topic that is needed.
    """

    def __init__(
        self,
        reader: BagReader,
        task: TaskSpec,
        cameras: Mapping[Any, str],
        size: int | Mapping[Any, int],
        *,
        state: bool,
    ) -> None:
        self.reader, self.task, self.cameras = reader, task, cameras
        self._sizes = size if isinstance(size, Mapping) else dict.fromkeys(cameras, size)
        self.frames_read = 0
        self.workers = min(4, len(os.sched_getaffinity(0)))
        self.lost: Counter[str] = Counter()
        self.live_values = False
        self.wanted: Container[int] | None = None
        self.control = Control()
        self.decode_seconds = 0.0
        self._action_topic = task.action.topic if task.action else ''
        self._milestone_ns: int | None = None
        self._end_ns: int | None = None
        self.sync = Synchroniser(task, list(dict.fromkeys(cameras.values())), state=state)
        self.reference_topic = task.camera(self.sync.reference).topic
        self._assembler = StateAssembler(task) if state else None
        # A slow camera's frame may serve several observations, but is decoded once.
        self._decoded: dict[Hashable, tuple[_Raw, UInt8Array]] = {}
        for topic in self.sync.topics:
            if topic not in reader.topics:
                raise UserError(
                    f'{reader.path} has no topic {topic}, which task {task.name} needs: '
                    'choose another task with --task'
                )
            kind = reader.topics[topic].type
            if kind not in self._types_of(topic):
                raise UserError(
                    f'{reader.path}: {topic} is {kind or "of no known type"}, but task {task.name} '
                    f'needs {" or ".join(self._types_of(topic))}: choose another task with --task'
                )

    def _types_of(self, topic: str) -> tuple[str, ...]:
        """The types that a topic may have; a recorder may have compressed images on its own."""
        states = {source.topic: (source.ros_type,) for source in self.task.state}
        return states.get(topic, IMAGE_TYPES)

    @property
    def success_ns(self) -> int | None:
        """See the attributes."""
        return self._end_ns if self._milestone_ns is None else self._milestone_ns

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames in order; several are decoded at once."""
        waiting: deque[Future[tuple[Frame | str, float]]] = deque()
        with ThreadPoolExecutor(self.workers, 'vvf-decode') as pool:
            for observation in self._observations():
                if self.wanted is not None and observation.stamp_ns not in self.wanted:
                    continue
                waiting.append(pool.submit(self._timed, observation))
                if len(waiting) > 4 * self.workers:
                    yield from self._counted(waiting.popleft().result())
            while waiting:
                yield from self._counted(waiting.popleft().result())
        self.lost.update(self.sync.dropped)
        truncated = self.reader.lost_on(self.reference_topic)
        if truncated:
            self.lost['truncated'] += truncated

    def _observations(self) -> Iterator[Observation]:
        for topic, kind, recorded_ns, cdr in self.reader.messages(
            {*self.sync.topics, VALUE_TOPIC, EVENT_TOPIC, self._action_topic}
        ):
            if topic == VALUE_TOPIC:
                self.live_values = True
                continue
            stamp = header_stamp(cdr, kind) or recorded_ns
            if kind in (EVENT_TYPE, ACTION_TYPE):
                self._note(kind, stamp, cdr)
                continue
            if topic == self.reference_topic:
                self.frames_read += 1
            yield from self.sync.push(topic, stamp, _Raw(cdr, kind, recorded_ns))
        yield from self.sync.flush()

    def _counted(self, timed: tuple[Frame | str, float]) -> Iterator[Frame]:
        result, seconds = timed
        self.decode_seconds += seconds
        if isinstance(result, str):
            self.lost[result] += 1
        else:
            yield result

    def _timed(self, observation: Observation) -> tuple[Frame | str, float]:
        began = time.perf_counter()
        result = self._decode(observation)
        return result, time.perf_counter() - began

    def _decode(self, observation: Observation) -> Frame | str:
        """Return the frame, or the reason why there is none."""
        try:
            images = self._images(observation)
            state = None
            if self._assembler is not None:
                decoded = {
                    topic: self.reader.deserialize(raw.cdr, raw.type)
                    for topic, raw in observation.messages.items()
                }
                state = self._assembler.assemble(decoded)
        except (DecodeError, ImageError):
            return 'undecodable'
        except StateError:
            return 'state'
        recorded_ns = observation.images[self.sync.reference].recorded_ns
        return Frame(observation.stamp_ns, recorded_ns, images, state)

    def _images(self, observation: Observation) -> dict[Any, UInt8Array]:
        images, full = {}, {}
        for view, camera in self.cameras.items():
            raw = observation.images[camera]
            held = self._decoded.get(view)
            if held is None or held[0] is not raw:
                if camera not in full:
                    full[camera] = to_rgb(self.reader.deserialize(raw.cdr, raw.type))
                held = (raw, make_small(full[camera], self._sizes[view], crop=False))
                self._decoded[view] = held
            images[view] = held[1]
        return images

    def _note(self, kind: str, stamp: int, cdr: bytes) -> None:
        """Note an event or an action; one that is damaged says nothing."""
        try:
            message = self.reader.deserialize(cdr, kind)
        except DecodeError:
            return
        if kind == ACTION_TYPE:
            self.control.add_action(stamp, message)
            return
        self.control.add_event(stamp, message)
        if message.event == message.MILESTONE and message.detail == _SUCCESS:
            self._milestone_ns = stamp if self._milestone_ns is None else self._milestone_ns
        elif message.event == message.END and message.outcome == _SUCCESS:
            self._end_ns = stamp


def header_stamp(cdr: bytes, type_name: str) -> int:
    """Return the header's stamp in ns without decoding the message; 0 where there is none."""
    fields = typestore().fielddefs.get(type_name)
    first = fields[1][0] if fields and fields[1] else None
    if first is None or first[0] != 'header' or len(cdr) < 12:
        return 0
    order = 'little' if cdr[1] & 1 else 'big'
    seconds = int.from_bytes(cdr[4:8], order, signed=True)  # type: ignore[arg-type]
    return seconds * 1_000_000_000 + int.from_bytes(cdr[8:12], order)  # type: ignore[arg-type]


def batches(frames: Iterable[T], size: int) -> Iterator[list[T]]:
    """Group items into lists of `size`, the last one possibly shorter."""
    batch: list[T] = []
    for frame in frames:
        batch.append(frame)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def in_background(items: Iterable[T], ahead: int = 4) -> Generator[T]:
    """Iterate in a thread, `ahead` items in advance, so that decoding overlaps with the model.

    What the iteration raises is raised here; the thread ends when this generator is closed.
    """
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(ahead)
    stop = threading.Event()

    def put(entry: tuple[str, Any]) -> bool:
        while not stop.is_set():
            try:
                ready.put(entry, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(('item', item)):
                    return
            put(('end', None))
        except BaseException as error:
            put(('error', error))

    thread = threading.Thread(target=work, name='vvf-decode', daemon=True)
    thread.start()
    try:
        while True:
            what, item = ready.get()
            if what == 'end':
                return
            if what == 'error':
                raise item
            yield item
    finally:
        stop.set()
        thread.join()
