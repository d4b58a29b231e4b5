# SPDX-License-Identifier: Apache-2.0
"""The scores of an episode, kept on disk between runs."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vvf_models.values import advantage

FloatArray = npt.NDArray[np.float64]

_ESTIMATES = ('value', 'progress', 'uncertainty')
_FRAMES = ('stamps_ns', 'recorded_ns', 'state', 'intervention')


@dataclass(frozen=True)
class ColumnAbout:
    """Whose estimates a column holds, and the unit that they are in.

    Attributes:
        tag: Ending of the column names.
        gamma: The model's discount per step.
        step_cost: What a step costs in the model's unit, for the instruction.
        failure_value: What the end of a failure is worth; None for a model that learns of none.
        own: Whether the goal is the episode's, so that its outcome speaks of it.
    """

    tag: str
    gamma: float
    step_cost: float
    failure_value: float | None
    own: bool


@dataclass
class Column:
    """Estimates of one model against one goal, (T,) each."""

    about: ColumnAbout
    value: FloatArray
    progress: FloatArray
    uncertainty: FloatArray


@dataclass(frozen=True)
class EpisodeAbout:
    """What is known of an episode besides its frames.

    Attributes:
        name: Unique in the run.
        task: What thresholds are taken by: a bag's task, else the instruction.
        episode_id: As recorded.
        outcome: 'success', 'failure', 'aborted' or 'unlabelled'.
        done: First scored frame in which the task is done, -1 where there is none.
        rate_hz: Steps of the model per second.
        live_values: Whether a bag holds values already.
        frames_read: Frames that could be read.
        lost: Frames that were not scored, by reason.
        seconds_lost: Length of what could not be read.
        loss: Why, '' where all could be.
        source: Where it comes from.
        dataset_index: Its number in its LeRobot data set, -1 elsewhere.
    """

    name: str
    task: str
    episode_id: str
    outcome: str
    done: int
    rate_hz: float
    live_values: bool
    frames_read: int
    lost: dict[str, int]
    seconds_lost: float
    loss: str
    source: str
    dataset_index: int = -1


@dataclass
class EpisodeScores:
    """What the models say of one episode.

    Attributes:
        about: The episode.
        stamps_ns: (T,) int64; of a bag those of the images, else since the first frame.
        recorded_ns: (T,) int64, when the recorder wrote them.
        state: (T, D) float32, D 0 without.
        intervention: (T,) bool, where a human was in control.
        columns: By model and goal, at least one.
    """

    about: EpisodeAbout
    stamps_ns: npt.NDArray[np.int64]
    recorded_ns: npt.NDArray[np.int64]
    state: npt.NDArray[np.float32]
    intervention: npt.NDArray[np.bool_]
    columns: list[Column]

    def __len__(self) -> int:
        """Scored frames."""
        return len(self.stamps_ns)

    @property
    def seconds(self) -> FloatArray:
        """Stamps in seconds since the first frame."""
        first = self.stamps_ns[0] if len(self) else 0
        return np.asarray((self.stamps_ns - first) * 1e-9, np.float64)

    def done_of(self, column: Column) -> int:
        """First frame in which the column's goal is known to be reached, -1 where there is none."""
        return self.about.done if column.about.own else -1

    def lookahead(self, column: Column, n_steps: int) -> FloatArray:
        """Advantage over the next n steps; see vvf_models.values.advantage."""
        failed = column.about.own and self.about.outcome == 'failure'
        return advantage.lookahead(
            self.seconds, column.value, gamma=column.about.gamma, rate_hz=self.about.rate_hz,
            n_steps=n_steps, step_cost=column.about.step_cost, done=self.done_of(column),
            end_value=column.about.failure_value if failed else None,
        )  # fmt: skip

    def lookback(self, column: Column, n_steps: int) -> FloatArray:
        """Advantage of the last n steps; see vvf_models.values.advantage."""
        return advantage.lookback(
            self.seconds, column.value, gamma=column.about.gamma, rate_hz=self.about.rate_hz,
            n_steps=n_steps, step_cost=column.about.step_cost, done=self.done_of(column),
        )  # fmt: skip

    def save(self, path: Path, fingerprint: str) -> None:
        """Write the scores, complete or not at all.

        Args:
            path: The file.
            fingerprint: Of what was scored and by what.
        """
        about = {
            'fingerprint': fingerprint,
            'episode': asdict(self.about),
            'columns': [asdict(column.about) for column in self.columns],
        }
        arrays = {name: getattr(self, name) for name in _FRAMES}
        for number, column in enumerate(self.columns):
            arrays |= {f'{name}_{number}': getattr(column, name) for name in _ESTIMATES}
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix('.partial')
        with draft.open('wb') as file:
            np.savez(file, about=np.array(json.dumps(about)), **arrays)
        draft.replace(path)

    @classmethod
    def load(cls, path: Path, fingerprint: str) -> EpisodeScores | None:
        """Read scores; None where there are none, or they are of another bag or checkpoint."""
        try:
            with np.load(path, allow_pickle=False) as data:
                about = json.loads(str(data['about']))
                if about['fingerprint'] != fingerprint:
                    return None
                columns = [
                    Column(ColumnAbout(**known), *(data[f'{name}_{number}'] for name in _ESTIMATES))
                    for number, known in enumerate(about['columns'])
                ]
                episode = EpisodeAbout(**about['episode'])
                frames = {name: data[name] for name in _FRAMES}
                return cls(about=episode, columns=columns, **frames)
        except (OSError, KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile):
            return None


#: By task and tag, the advantage from which on a frame counts as improvement.
Limits = dict[tuple[str, str], float]


def thresholds(episodes: Iterable[EpisodeScores], n_steps: int, positive_ratio: float) -> Limits:
    """The advantage from which on a frame of these episodes counts as improvement."""
    found: dict[tuple[str, str], list[FloatArray]] = {}
    for episode in episodes:
        for column in episode.columns:
            gain = episode.lookahead(column, n_steps)
            part = advantage.until_done(gain, episode.done_of(column))
            found.setdefault((episode.about.task, column.about.tag), []).append(part)
    return {
        key: advantage.threshold(np.concatenate(parts), positive_ratio)
        for key, parts in found.items()
    }


def limits_of(episode: EpisodeScores, limits: Limits) -> Sequence[float]:
    """The thresholds of an episode's columns, in their order."""
    return [limits[episode.about.task, column.about.tag] for column in episode.columns]


def joined(parts: Sequence[Any], dtype: Any, shape: tuple[int, ...] = (0,)) -> Any:
    """Parts of an array, or an empty one."""
    return np.concatenate(parts).astype(dtype, copy=False) if parts else np.zeros(shape, dtype)
