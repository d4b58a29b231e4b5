# SPDX-License-Identifier: Apache-2.0
"""Notices stamps that cannot be right: none at all, and those of a clock that is ahead or behind.

Observations are put together by stamps, so a camera whose computer's clock is a second ahead would
be paired with what the others saw a second before, and nobody would see it in the pictures.
"""

from __future__ import annotations

import statistics
from collections import Counter, deque
from dataclasses import dataclass, field

#: Why a message is refused.
UNSTAMPED, FUTURE = 'unstamped', 'future'
_WINDOW = 30
_LEAST = 10  # late messages before it is the clock that is blamed


@dataclass
class _Stream:
    offsets: deque[int] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    unstamped: bool = False


class StampCheck:
    """Compares the stamps of messages with the clock of the moment when they arrive.

    Args:
        tolerance_s: a message that is stamped so far in the future is refused: no delay does
            that. One that is stamped in the past is not, since it may be just late.

    Attributes:
        refused: messages by `reason:name`.
    """

    def __init__(self, tolerance_s: float) -> None:
        self._tolerance_ns = int(tolerance_s * 1e9)
        self._streams: dict[str, _Stream] = {}
        self._told: set[tuple[str, str]] = set()
        self.refused: Counter[str] = Counter()

    def add(self, name: str, stamp_ns: int, now_ns: int) -> str:
        """Look at a message; says why it is refused, '' where it is not.

        Args:
            name: of a camera, or a topic.
            stamp_ns: of the message's header.
            now_ns: ROS time when it arrived.
        """
        stream = self._streams.setdefault(name, _Stream())
        stream.unstamped = stamp_ns == 0
        if stream.unstamped:
            self.refused[f'{UNSTAMPED}:{name}'] += 1
            return UNSTAMPED
        stream.offsets.append(now_ns - stamp_ns)
        if stream.offsets[-1] < -self._tolerance_ns:
            self.refused[f'{FUTURE}:{name}'] += 1
            return FUTURE
        return ''

    def complaints(self) -> list[str]:
        """What is wrong with the stamps of the last messages: a sentence for each stream."""
        return [sentence for _, _, sentence in self._judge()]

    def news(self) -> list[str]:
        """Complaints that were not there at the last call, however large they are by now."""
        found = self._judge()
        told, self._told = self._told, {(name, kind) for name, kind, _ in found}
        return [sentence for name, kind, sentence in found if (name, kind) not in told]

    def _judge(self) -> list[tuple[str, str, str]]:
        found = []
        for name, stream in self._streams.items():
            kind, text = self._complaint(stream)
            if kind:
                called = name if name.startswith('/') else f'camera {name}'
                found.append((name, kind, f'{called} {text}'))
        return found

    def _complaint(self, stream: _Stream) -> tuple[str, str]:
        if stream.unstamped:
            return UNSTAMPED, (
                'has stamps of zero: set them in its driver, or take it over with a camera node '
                '(source:=topic), which stamps by arrival'
            )
        if not stream.offsets:
            return '', ''
        ahead = -statistics.median(stream.offsets)
        if ahead > self._tolerance_ns:
            return FUTURE, (
                f'is stamped {ahead * 1e-9:.1f} s in the future: synchronise the clocks with chrony'
            )
        behind = min(stream.offsets)
        if len(stream.offsets) >= _LEAST and behind > self._tolerance_ns:
            return 'past', (
                f'is stamped {behind * 1e-9:.1f} s in the past: synchronise the clocks with '
                'chrony, or find what delays it'
            )
        return '', ''
