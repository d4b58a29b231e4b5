# SPDX-License-Identifier: Apache-2.0
"""Goes over the episodes of an export, whatever they are written as."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from vvf.errors import UserError, is_user_error
from vvf.export.labels import LabelTable
from vvf.export.recordings import Recordings

#: Called with the number of frames and of episodes that are done.
Progress = Callable[[int, int], None]
#: What was written of an episode: at least length, gaps and gap_seconds.
Record = dict[str, Any]
#: Writes an episode: its place in the export, where it comes from, its number there, and what is to
#: be told of its rows. Says, too, whether an earlier run had written it.
Write = Callable[[int, Recordings, int, Callable[[int], None]], tuple[Record, bool]]


@dataclass
class ExportSummary:
    """What was done; ``numbers`` are the keys of ``--json``.

    Attributes:
        episodes: Episodes in the data set.
        before: Of these, those that an earlier run had written.
        left_out: One sentence for each episode that could not be used.
        frames: Rows in the data set.
        frames_now: Of these, those written by this run.
        gaps: Gaps of more than one and a half frames in the recordings.
        gap_seconds: What they hide, as rows follow one another at the data set's rate.
        seconds: What it took.
    """

    episodes: int = 0
    before: int = 0
    left_out: list[str] = field(default_factory=list)
    frames: int = 0
    frames_now: int = 0
    gaps: int = 0
    gap_seconds: float = 0.0
    seconds: float = 0.0

    def numbers(self) -> dict[str, Any]:
        """Return the summary under stable keys."""
        return {
            'episodes': self.episodes,
            'episodes_skipped': self.before,
            'episodes_left_out': len(self.left_out),
            'frames': self.frames,
            'frames_per_s': round(self.frames_now / self.seconds, 2) if self.frames_now else 0.0,
            'gaps': self.gaps,
            'gap_seconds': round(self.gap_seconds, 3),
            'seconds': round(self.seconds, 3),
        }


def common_rate(sources: Sequence[Recordings]) -> int:
    """Frames a second of all sources.

    Raises:
        UserError: They differ.
    """
    rates = sorted({source.fps for source in sources})
    if len(rates) > 1:
        raise UserError(
            f'the data run at {" and ".join(map(str, rates))} Hz: export each by itself, or give '
            '--fps'
        )
    return rates[0]


def write_episodes(
    sources: Sequence[Recordings],
    write: Write,
    skip_bad: Callable[[str], None] | None,
    progress: Progress,
) -> tuple[list[Record], ExportSummary]:
    """Write the episodes of several collections, one after the other.

    Args:
        sources: What to export.
        write: Writes one.
        skip_bad: Told of each episode that cannot be used; without it, the first is an error.
        progress: See `Progress`.

    Raises:
        UserError: (of `vvf` or `vvf_models`) an episode cannot be used, or none can.
    """
    summary = ExportSummary()
    records: list[Record] = []
    jobs = [(source, number) for source in sources for number in range(len(source))]
    for place, (source, number) in enumerate(jobs):

        def report(rows: int, before: int = summary.frames, done: int = len(records)) -> None:
            progress(before + rows, done)

        try:
            record, known = write(place, source, number, report)
        except Exception as error:
            if not is_user_error(error):
                raise
            if skip_bad is None:
                raise UserError(f'{error} (--skip-bad goes on without it)') from error
            skip_bad(str(error))
            summary.left_out.append(str(error))
            continue
        records.append(record)
        summary.before += known
        summary.frames += record['length']
        summary.frames_now += 0 if known else record['length']
        summary.gaps += record['gaps']
        summary.gap_seconds += record['gap_seconds']
        progress(summary.frames, len(records))
    if not records:
        raise UserError('no episode could be used: there is nothing to export')
    summary.episodes = len(records)
    return records, summary


def gaps_in(stamps: npt.NDArray[np.int64], fps: int) -> tuple[int, float]:
    """How often frames are missing, and the seconds that they would have filled.

    Args:
        stamps: (T,) of the frames, ns.
        fps: Frames a second.
    """
    steps = np.diff(stamps) * 1e-9 * fps
    gaps = steps[steps > 1.5]
    return len(gaps), float((gaps - 1).sum() / fps)


def export_fingerprint(
    sources: Sequence[Recordings], labels: LabelTable | None, *options: object
) -> str:
    """Changes when the data, their labels or the options of an export do."""
    table = ''
    if labels is not None:
        stat = labels.path.stat()
        table = f'{labels.path.resolve()} {stat.st_size} {stat.st_mtime_ns}'
    parts = [(s.fps, [s.source(n) for n in range(len(s))], s.fingerprint()) for s in sources]
    text = repr((parts, *options, table))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
