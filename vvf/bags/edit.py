# SPDX-License-Identifier: Apache-2.0
"""Splits, trims, merges and labels recorded episodes: always into new bags.

Every topic is carried over as it is, byte by byte. What latched topics said before a cut, such as
static transforms, begins the part behind it, as a subscriber that came late would have got it; so
does a human's takeover that had not ended. Times are seconds since the first message of a bag.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from rosbags.interfaces import QosDurability

from vvf.bags.audit import AUDIT, audit_recording
from vvf.bags.folders import bag_name
from vvf.bags.frames import EVENT_TOPIC, EVENT_TYPE
from vvf.bags.reader import BagReader, DecodeError, open_bag
from vvf.bags.topics import TopicSpec
from vvf.bags.writer import COMPLETE, OUTCOMES, BagWriter
from vvf.errors import UserError
from vvf.task import TaskSpec

#: Key of custom_data: what was done to a bag since it was recorded, as a JSON list.
EDITS = 'edits'

Progress = Callable[[int], None]
Message = tuple[str, int, bytes]


def split(
    path: Path, out: Path, at: Sequence[float], progress: Progress = lambda done: None
) -> list[Path]:
    """Cut a bag in pieces OUT/<name>_0, OUT/<name>_1, ...

    The last piece keeps the outcome; nobody labelled the others.

    Args:
        path: The bag.
        out: Folder to write to.
        at: Where to cut, in seconds; the message at that time begins the next piece.
        progress: Called with the number of messages done.

    Raises:
        UserError: A time lies outside of the bag, or a piece exists already.
    """
    with open_bag(path) as reader:
        begin, end = reader.span_ns()
        cuts = [begin + round(second * 1e9) for second in sorted(set(at))]
        for cut in cuts:
            if not begin < cut <= end:
                raise UserError(
                    f'{path} cannot be cut at {(cut - begin) * 1e-9:g} s: it is '
                    f'{(end - begin) * 1e-9:.3f} s long'
                )
        edges = [begin, *cuts, end + 1]
        targets = [_target(path, out, f'{bag_name(path)}_{n}') for n in range(len(cuts) + 1)]
        origin = _origin(reader)
        for number, target in enumerate(targets):
            start, stop = edges[number], edges[number + 1]
            custom = _custom(
                reader,
                f'split: {(start - begin) * 1e-9:.3f} to {(min(stop, end) - begin) * 1e-9:.3f} s',
                [origin],
                episode_id=f'{reader.episode_id}_{number}',
            )
            if number < len(targets) - 1:
                custom['outcome'] = 'unlabelled'
            rows = _between(reader, start, stop)
            _write(target, reader.topics.values(), custom, _counted(rows, progress))
    return targets


def trim(
    path: Path,
    out: Path,
    start: float = 0.0,
    end: float | None = None,
    progress: Progress = lambda done: None,
) -> Path:
    """Keep a stretch of a bag, with the bag's outcome, as OUT/<name>.

    Args:
        path: The bag.
        out: Folder to write to.
        start: First second kept.
        end: Last second kept; to the end where it is None.
        progress: Called with the number of messages done.

    Raises:
        UserError: Nothing lies between the times, or the target exists already.
    """
    with open_bag(path) as reader:
        begin, last = reader.span_ns()
        first = begin + round(start * 1e9)
        stop = last if end is None else begin + round(end * 1e9)
        if not (first <= stop and first <= last and stop >= begin):
            until = 'the end' if end is None else f'{end:g} s'
            raise UserError(
                f'{path} holds nothing from {start:g} s to {until}: it is '
                f'{(last - begin) * 1e-9:.3f} s long'
            )
        kept_s = (max(0, first - begin) * 1e-9, (min(stop, last) - begin) * 1e-9)
        what = f'trim: {kept_s[0]:.3f} to {kept_s[1]:.3f} s'
        custom = _custom(reader, what, [_origin(reader)])
        target = _target(path, out, bag_name(path))
        rows = _between(reader, first, stop + 1)
        _write(target, reader.topics.values(), custom, _counted(rows, progress))
    return target


def merge(
    paths: Sequence[Path], out: Path, name: str = '', progress: Progress = lambda done: None
) -> Path:
    """Put bags together in order of time, as OUT/NAME: parts of an episode, or its topics.

    The outcome is that of the bag that ends last.

    Args:
        paths: At least two bags.
        out: Folder to write to.
        name: Of the new bag, and its episode id; that of the first with `_merged` where empty.
        progress: Called with the number of messages done.

    Raises:
        UserError: The bags are of different tasks or instructions, a topic has different types, or
            two bags recorded a topic at the same time.
    """
    if len(paths) < 2:
        raise UserError('merge needs two bags or more: name them one after the other')
    name = name or f'{bag_name(paths[0])}_merged'
    target = _target(paths[0], out, name)
    with ExitStack() as stack:
        readers = [stack.enter_context(open_bag(path)) for path in paths]
        _check_alike(readers)
        topics: dict[str, TopicSpec] = {}
        for reader in readers:
            for spec in reader.topics.values():
                if topics.setdefault(spec.topic, spec).type != spec.type:
                    raise UserError(
                        f'{reader.path}: {spec.topic} is {spec.type} and not '
                        f'{topics[spec.topic].type} as before: these cannot be one bag'
                    )
        ends_last = max(readers, key=lambda reader: reader.span_ns()[1])
        custom = _custom(ends_last, 'merge', [_origin(reader) for reader in readers], name)
        streams = [_between(reader, 0, 1 << 63) for reader in readers]
        rows = heapq.merge(*streams, key=lambda message: message[1])
        _write(target, topics.values(), custom, _counted(rows, progress))
    return target


def label(
    path: Path,
    out: Path,
    *,
    outcome: str | None = None,
    instruction: str | None = None,
    progress: Progress = lambda done: None,
) -> Path:
    """Copy a bag to OUT/<name> with another outcome or instruction.

    Raises:
        UserError: There is no such outcome, the instruction is empty, or the target exists already.
    """
    changes = {}
    if outcome is not None:
        if outcome not in OUTCOMES:
            raise UserError(f"'{outcome}' is no outcome: choose one of {', '.join(OUTCOMES)}")
        changes['outcome'] = outcome
    if instruction is not None:
        if not instruction.strip():
            raise UserError('an instruction cannot be empty: say what the robot was asked to do')
        changes['instruction'] = instruction.strip()
    with open_bag(path) as reader:
        what = ', '.join(
            f'{key}: {reader.custom_data.get(key, "")} -> {new}' for key, new in changes.items()
        )
        custom = {**_custom(reader, what, [_origin(reader)]), **changes}
        rows = _between(reader, 0, 1 << 63)
        target = _target(path, out, bag_name(path))
        _write(target, reader.topics.values(), custom, _counted(rows, progress))
    return target


def check_targets(paths: Sequence[Path], out: Path) -> None:
    """Make sure that each bag can be copied to OUT/<name>, before the first one is.

    Raises:
        UserError: Something is there already, or OUT lies inside of a bag.
    """
    for path in paths:
        _target(path, out, bag_name(path))


def _between(reader: BagReader, start: int, stop: int) -> Iterator[Message]:
    """The messages of [start, stop), after what still held from before."""
    latched = {
        spec.topic
        for spec in reader.topics.values()
        if any(q.durability == QosDurability.TRANSIENT_LOCAL for q in spec.qos_profiles or ())
    } - {EVENT_TOPIC}
    held: list[Message] = []
    takeover: Message | None = None
    begun = False
    for topic, kind, stamp, raw in reader.messages():
        if stamp < start:
            if topic in latched:
                held.append((topic, start, raw))
            elif topic == EVENT_TOPIC and kind == EVENT_TYPE:
                takeover = _takeover_after(reader, kind, (topic, start, raw), takeover)
            continue
        if stamp >= stop:
            break
        if not begun:
            begun = True
            yield from held
            if takeover is not None:
                yield takeover
        yield topic, stamp, raw


def _takeover_after(
    reader: BagReader, kind: str, message: Message, before: Message | None
) -> Message | None:
    """The takeover that lasts, given an event."""
    try:
        event = reader.deserialize(message[2], kind)
    except DecodeError:
        return before
    if event.event == event.INTERVENTION_START:
        return message
    return None if event.event == event.INTERVENTION_END else before


def _check_alike(readers: Sequence[BagReader]) -> None:
    first = readers[0]
    for other in readers[1:]:
        if other.task != first.task:
            raise UserError(f'{first.path} and {other.path} are of different tasks: merge only one')
        asked = [reader.custom_data.get('instruction', '') for reader in (first, other)]
        if asked[0] != asked[1]:
            raise UserError(
                f"{first.path} was asked '{asked[0]}' and {other.path} '{asked[1]}': make them "
                'equal with vvf edit instruct'
            )
    spans: dict[str, list[tuple[int, int, Path]]] = {}
    for reader in readers:
        begin, end = reader.span_ns()
        for topic, count in reader.counts().items():
            for other_begin, other_end, path in spans.get(topic, ()) if count else ():
                if begin <= other_end and other_begin <= end:
                    raise UserError(
                        f'{path} and {reader.path} recorded {topic} at the same time: trim one'
                    )
            spans.setdefault(topic, []).append((begin, end, reader.path))


def _origin(reader: BagReader) -> dict[str, object]:
    """Which bag it was: its name and a hash of its files."""
    path = reader.path
    digest = hashlib.sha256()
    for file in sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]:
        with file.open('rb') as stream:
            digest.update(hashlib.file_digest(stream, 'sha256').digest())
    found: dict[str, object] = {
        'bag': path.resolve().name,
        'episode_id': reader.episode_id,
        'sha256': digest.hexdigest(),
    }
    if AUDIT in reader.custom_data:
        found['audit'] = reader.custom_data[AUDIT]
    return {**found, 'loss': str(reader.loss)} if reader.loss else found


def _custom(
    reader: BagReader, what: str, origins: Sequence[Mapping[str, object]], episode_id: str = ''
) -> dict[str, str]:
    custom = dict(reader.custom_data)
    custom.pop(COMPLETE, None)
    # Another bag of that name: it is not what the relabeller left.
    custom.pop('relabel_fingerprint', None)
    try:
        before = json.loads(custom.get(EDITS, '[]'))
    except ValueError:
        before = []
    custom[EDITS] = json.dumps([*before, {'edit': what, 'from': list(origins)}])
    custom['episode_id'] = episode_id or reader.episode_id
    return custom


def _target(source: Path, out: Path, name: str) -> Path:
    """Where a new bag goes; nothing may be there, nor may it lie inside of the original."""
    if '/' in name or name.startswith('.') or not name:
        raise UserError(f"'{name}' is no name for a bag: choose one without slashes")
    target = out / name
    if source.resolve() in target.resolve().parents:
        raise UserError(f'{target} lies inside of the original: choose another folder with --out')
    if target.exists():
        raise UserError(
            f'{target} exists already and is never overwritten: choose another folder with --out'
        )
    return target


def _counted(rows: Iterable[Message], progress: Progress) -> Iterator[Message]:
    done = 0
    for done, row in enumerate(rows, 1):
        yield row
        if done % 256 == 0:
            progress(256)
    progress(done % 256)


def _write(
    target: Path, topics: Iterable[TopicSpec], custom: Mapping[str, str], rows: Iterable[Message]
) -> None:
    """Write a bag, complete or not at all, with an audit of its own."""
    text = custom.get('task_file', '')
    task = TaskSpec.from_yaml(text, f'embedded in {target.name}') if text else None
    draft = target.with_name(f'.{target.name}.partial')
    if draft.exists():
        shutil.rmtree(draft)
    outcome = custom.get('outcome', 'unlabelled')
    writer = BagWriter(
        draft, topics, custom, file_name=f'{target.name}.mcap', chunk_seconds=float('inf')
    )
    try:
        with writer:
            for topic, stamp, raw in rows:
                writer.write(topic, stamp, raw)
            changes = {'outcome': outcome if outcome in OUTCOMES else 'unlabelled'}
            if task is not None:
                changes[AUDIT] = audit_recording(task, writer.audit).to_json()
            writer.close(changes)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    draft.replace(target)
