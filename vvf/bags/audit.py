# SPDX-License-Identifier: Apache-2.0
"""What became of a recording: per topic how much came, how fast, with which holes, and what not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from vvf.bags.topics import TopicAudit
from vvf.task import TaskSpec

AUDIT = 'audit'
"""Key of custom_data: what `RecordingAudit.to_json` returns."""
_SECOND = 1_000_000_000
_MANY = 0.1  # of the frames incomplete: worth a complaint


@dataclass(frozen=True)
class TopicReport:
    """One topic of a recording.

    Attributes:
        count: messages in the bag.
        rate_hz: mean rate, 0 with fewer than two messages.
        longest_gap_s: longest pause, those before the first and after the last message included.
        gap_at_s: when that pause began, seconds after the recording did.
        dropped: arrived, but did not fit into the write queue.
        lost: of which the middleware says that they never arrived.
    """

    count: int = 0
    rate_hz: float = 0.0
    longest_gap_s: float = 0.0
    gap_at_s: float = 0.0
    dropped: int = 0
    lost: int = 0


@dataclass(frozen=True)
class RecordingAudit:
    """What became of an episode's messages, and what of it a person should know.

    ``pairing`` counts the frames of the reference camera: ``frames`` of them have all that belongs
    to them, and the others lack what their reason says; empty where that was not looked at.
    """

    topics: Mapping[str, TopicReport]
    seconds: float
    complaints: tuple[str, ...] = field(default=())
    pairing: Mapping[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Messages in the bag."""
        return sum(t.count for t in self.topics.values())

    @property
    def dropped(self) -> int:
        """Messages that did not fit into the write queue."""
        return sum(t.dropped for t in self.topics.values())

    @property
    def lost(self) -> int:
        """Messages that the middleware lost."""
        return sum(t.lost for t in self.topics.values())

    def table(self) -> str:
        """A line for each topic that something is known of, for a log."""
        shown = {n: t for n, t in self.topics.items() if t.count or t.dropped or t.lost}
        width = max([len(name) for name in shown] + [len('topic')])
        lines = [f'{"topic":{width}}  messages       Hz    longest gap  dropped  lost']
        lines += [
            f'{name:{width}}  {t.count:8d} {t.rate_hz:8.1f} {t.longest_gap_s:12.3f} s '
            f'{t.dropped:8d} {t.lost:5d}'
            for name, t in shown.items()
        ]
        return '\n'.join(lines)

    def to_json(self) -> str:
        """The whole as one line of JSON, for a bag's custom_data."""
        topics = {
            name: {k: round(v, 4) for k, v in asdict(t).items()} for name, t in self.topics.items()
        }
        return json.dumps(
            {
                'seconds': round(self.seconds, 3),
                'dropped': self.dropped,
                'lost': self.lost,
                'topics': topics,
                'pairing': dict(self.pairing),
                'complaints': list(self.complaints),
            }
        )


def audit_recording(
    task: TaskSpec,
    recorded: Mapping[str, TopicAudit],
    *,
    dropped: Mapping[str, int] | None = None,
    lost: Mapping[str, int] | None = None,
    pairing: Mapping[str, int] | None = None,
) -> RecordingAudit:
    """Sum up a recording.

    Args:
        task: what should have been recorded.
        recorded: what was.
        dropped: messages by topic that did not fit into the write queue.
        lost: messages by topic that the middleware lost.
        pairing: see `RecordingAudit`.
    """
    heard = [a for a in recorded.values() if a.count]
    start = min((a.first_ns for a in heard), default=0)
    end = max((a.last_ns for a in heard), default=0)
    topics = {
        name: _report(audit, start, end, (dropped or {}).get(name, 0), (lost or {}).get(name, 0))
        for name, audit in recorded.items()
    }
    complaints = (*_complaints(task, topics), *_incomplete(pairing or {}))
    return RecordingAudit(topics, (end - start) / _SECOND, complaints, pairing or {})


def _report(audit: TopicAudit, start: int, end: int, dropped: int, lost: int) -> TopicReport:
    if not audit.count:
        return TopicReport(longest_gap_s=(end - start) / _SECOND, dropped=dropped, lost=lost)
    pauses = [
        (audit.longest_gap_s, audit.gap_began_ns),
        ((audit.first_ns - start) / _SECOND, start),
        ((end - audit.last_ns) / _SECOND, audit.last_ns),
    ]
    gap, began = max(pauses)
    at = (began - start) / _SECOND if gap else 0.0
    return TopicReport(audit.count, audit.rate_hz, gap, at, dropped, lost)


def _complaints(task: TaskSpec, topics: Mapping[str, TopicReport]) -> list[str]:
    """What was dropped, and what of an observation came not at all or with holes, in words."""
    lines = [
        f'{topic.dropped} messages of {name} did not fit into the write queue'
        for name, topic in topics.items()
        if topic.dropped
    ]
    lines += [
        f'{topic.lost} messages of {name} were lost on the way to the recorder'
        for name, topic in topics.items()
        if topic.lost
    ]
    # A camera may miss a frame now and then; of the state, each frame needs a recent one.
    limits = {c.topic: 5.0 / c.rate_hz if c.rate_hz else float('inf') for c in task.cameras}
    limits |= {s.topic: 2.0 * task.sync.state_tolerance_s for s in task.state}
    for name, limit in limits.items():
        topic = topics.get(name, TopicReport())
        if not topic.count:
            lines.append(f'nothing was recorded of {name}')
        elif topic.longest_gap_s > limit:
            lines.append(
                f'{name} paused for {topic.longest_gap_s:.2f} s, '
                f'{topic.gap_at_s:.1f} s after the start ({topic.rate_hz:.1f} Hz on average)'
            )
    return lines


def _incomplete(pairing: Mapping[str, int]) -> list[str]:
    """Stamps of zero, and frames that lack something, if they are many, in words."""
    lines, lacking = [], {}
    for reason, count in pairing.items():
        kind, _, name = reason.partition(':')
        if kind == 'unstamped':
            lines.append(f'{count} messages of {name} have stamps of zero: set them in its driver')
        elif kind != 'frames' and kind != 'missing':  # what is missing is complained of already
            lacking[reason] = count
    frames = pairing.get('frames', 0) + sum(lacking.values())
    if sum(lacking.values()) > _MANY * frames:
        reasons = ', '.join(f'{count} {reason}' for reason, count in lacking.items())
        lines.append(
            f'{sum(lacking.values())} of {frames} frames cannot be used ({reasons}): are the '
            'clocks synchronised?'
        )
    return lines
