# SPDX-License-Identifier: Apache-2.0
"""The scores of an episode: kept on disk between runs, and as the Parquet table of a run."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from vvf import advantage

FloatArray = npt.NDArray[np.float64]

_ARRAYS = (
    'stamps_ns',
    'recorded_ns',
    'value',
    'progress',
    'uncertainty',
    'state',
    'intervention',
)


@dataclass
class EpisodeScores:
    """What a value model says about one episode, and what was lost on the way.

    Arrays have one row per scored frame. ``lost`` counts frames by reason. ``step_cost`` and
    ``failure_value`` are the model's, for the task of the episode.
    """

    name: str
    fingerprint: str
    task: str
    episode_id: str
    outcome: str
    rate_hz: float
    step_cost: float
    failure_value: float | None
    live_values: bool
    frames_read: int
    lost: dict[str, int]
    seconds_lost: float
    loss: str
    stamps_ns: npt.NDArray[np.int64]
    recorded_ns: npt.NDArray[np.int64]
    value: FloatArray
    progress: FloatArray
    uncertainty: FloatArray
    state: npt.NDArray[np.float32]
    intervention: npt.NDArray[np.bool_]
    source: str = field(default='')

    @property
    def seconds(self) -> FloatArray:
        """Stamps in seconds since the first frame."""
        first = self.stamps_ns[0] if len(self.stamps_ns) else 0
        return np.asarray((self.stamps_ns - first) * 1e-9, np.float64)

    def lookahead(self, gamma: float, n_steps: int) -> FloatArray:
        """Advantage over the next n steps; see vvf.advantage."""
        ends = {'success': 0.0, 'failure': self.failure_value}
        return advantage.lookahead(
            self.seconds, self.value, gamma=gamma, rate_hz=self.rate_hz, n_steps=n_steps,
            step_cost=self.step_cost, end_value=ends.get(self.outcome),
        )  # fmt: skip

    def lookback(self, gamma: float, n_steps: int) -> FloatArray:
        """Advantage of the last n steps; see vvf.advantage."""
        return advantage.lookback(
            self.seconds, self.value, gamma=gamma, rate_hz=self.rate_hz, n_steps=n_steps,
            step_cost=self.step_cost,
        )  # fmt: skip

    def save(self, path: Path) -> None:
        """Write the scores, complete or not at all."""
        about = {k: v for k, v in vars(self).items() if k not in _ARRAYS}
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix('.partial')
        with draft.open('wb') as file:
            np.savez(file, about=np.array(json.dumps(about)), **{k: vars(self)[k] for k in _ARRAYS})
        draft.replace(path)

    @classmethod
    def load(cls, path: Path, fingerprint: str) -> EpisodeScores | None:
        """Read scores; None where there are none, or they are of another bag or checkpoint."""
        try:
            with np.load(path, allow_pickle=False) as data:
                about = json.loads(str(data['about']))
                if about['fingerprint'] != fingerprint:
                    return None
                return cls(**about, **{k: data[k] for k in _ARRAYS})
        except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile):
            return None


def thresholds(
    episodes: Sequence[EpisodeScores], gamma: float, n_steps: int, positive_ratio: float
) -> dict[str, float]:
    """Return by task the advantage from which on a frame of this run counts as improvement."""
    found: dict[str, list[FloatArray]] = {}
    for episode in episodes:
        found.setdefault(episode.task, []).append(episode.lookahead(gamma, n_steps))
    return {
        task: advantage.threshold(np.concatenate(parts), positive_ratio)
        for task, parts in found.items()
    }


def write_table(
    path: Path,
    episodes: Sequence[EpisodeScores],
    limits: dict[str, float],
    *,
    tag: str,
    gamma: float,
    n_steps: int,
) -> None:
    """Write one Parquet table with a row per scored frame of all episodes.

    ``episode_success`` is null for episodes without a label: those are never taken for failures.
    ``observation.state`` is null where the model needs no state.
    """
    tables = []
    for index, episode in enumerate(episodes):
        count = len(episode.stamps_ns)
        gain = episode.lookahead(gamma, n_steps)
        indicator = (gain >= limits[episode.task]) | episode.intervention
        label = episode.outcome if episode.outcome in ('success', 'failure') else None
        has_state = episode.state.shape[1:] and episode.state.shape[1] > 0
        columns: dict[str, Any] = {
            'episode_index': pa.array(np.full(count, index, np.int64)),
            'frame_index': pa.array(np.arange(count, dtype=np.int64)),
            'timestamp': pa.array(episode.seconds.astype(np.float32)),
            'task': pa.array([episode.task] * count, pa.string()),
            'episode_success': pa.array([label] * count, pa.string()),
            'observation.state': pa.array(
                list(episode.state) if has_state else [None] * count, pa.list_(pa.float32())
            ),
            'complementary_info.is_intervention': pa.array(episode.intervention.astype(bool)),
            f'complementary_info.value_{tag}': _floats(episode.value),
            f'complementary_info.advantage_{tag}': _floats(gain),
            f'complementary_info.acp_indicator_{tag}': pa.array(indicator.astype(np.int64)),
            'progress': _floats(episode.progress),
            'uncertainty': _floats(episode.uncertainty),
            'stamp_ns': pa.array(episode.stamps_ns),
            'episode_id': pa.array([episode.episode_id] * count, pa.string()),
        }
        tables.append(pa.table(columns))
    draft = path.with_suffix('.partial')
    pq.write_table(pa.concat_tables(tables), draft, compression='zstd')
    draft.replace(path)


def _floats(values: FloatArray) -> pa.Array:
    return pa.array(np.asarray(values, np.float32))
