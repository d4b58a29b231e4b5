# SPDX-License-Identifier: Apache-2.0
"""The loop around a training step: budget, schedule, progress, evaluation, Ctrl-C, resuming."""

import json
import math
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import numpy as np
import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vvf_models.checkpoints import read_tensors, write_tensors
from vvf_models.errors import UserError

RESUME_FOLDER = '.resume'
BOARD_FOLDER = 'tensorboard'
_STATE_FILE = 'training.safetensors'
_LOG_FILE = 'log.jsonl'


class Trainer(Protocol):
    """What the loop drives. Randomness must come from the seed and the step number alone."""

    def step(self, step: int, rate: float) -> Mapping[str, Tensor]:
        """One gradient step at a share `rate` of the full learning rate; what to log."""

    def evaluate(self) -> dict[str, float]:
        """Metrics on held-out episodes; may keep the best weights."""

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs."""

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what `tensors` gave."""

    @property
    def batch_size(self) -> int:
        """Samples of a step."""

    @property
    def waited(self) -> float:
        """Seconds spent waiting for batches so far."""

    @property
    def exhausted(self) -> bool:
        """Whether training should end early."""

    @property
    def main(self) -> bool:
        """Whether this process, of several, writes and shows."""


@dataclass(frozen=True)
class Budget:
    """How long to train: so many steps, so many seconds, or whichever comes first."""

    steps: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Checks.

        Raises:
            UserError: There is no limit, or one is not positive.
        """
        if self.steps is None and self.seconds is None:
            raise UserError('Say how long to train: give steps or seconds.')
        if (self.steps is not None and self.steps < 1) or (
            self.seconds is not None and self.seconds <= 0
        ):
            raise UserError('Steps and seconds of training must be above 0.')

    def fraction(self, step: int, elapsed: float) -> float:
        """Share of the budget used, at most 1."""
        by_step = step / self.steps if self.steps else 0.0
        by_time = elapsed / self.seconds if self.seconds else 0.0
        return min(1.0, max(by_step, by_time))


@dataclass
class Outcome:
    """How a run went.

    Attributes:
        step: steps that were trained, with those before it was stopped.
        seconds: that they took.
        interrupted: stopped before its end; its state is saved.
        metrics: of the last evaluation.
        stopped_early: ended by the trainer.
        waiting_share: of the time, for batches.
        stop_wanted: Ctrl-C came when nothing was left to train; whoever would begin something else
            after this has to stop once it is written.
    """

    step: int
    seconds: float
    interrupted: bool
    metrics: dict[str, float]
    stopped_early: bool = False
    waiting_share: float = 0.0
    stop_wanted: bool = False


def learning_rate_share(step: int, fraction: float, warmup_steps: int, hold: float) -> float:
    """Linear warm-up, then 1 for a share `hold` of the budget, then a cosine down to .02."""
    warmup = min(1.0, (step + 1) / max(1, warmup_steps))
    falling = max(0.0, (fraction - hold) / (1 - hold))
    return warmup * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * falling)))


def run(
    trainer: Trainer,
    out: Path,
    budget: Budget,
    *,
    identity: Mapping[str, Any],
    evaluate_every: int,
    warmup_steps: int,
    hold: float = 0.0,
    resume: bool = False,
    progress: bool = True,
    title: str = 'training',
) -> Outcome:
    """Trains until the budget is spent or Ctrl-C comes.

    The state is saved at each evaluation and on Ctrl-C; call `forget_state` when what was trained
    is written, so that nothing is lost in between. Metrics go to log.jsonl and to a folder for
    TensorBoard.

    Args:
        trainer: What to train.
        out: The checkpoint's folder.
        budget: How long.
        identity: What a resumed run must share with the first: configuration, seed, data.
        evaluate_every: Steps between evaluations.
        warmup_steps: Of the learning rate.
        hold: Share of the budget before the learning rate falls.
        resume: Whether to go on from the state in `out`, if there is one.
        progress: Whether to show a bar.
        title: The bar's name.

    Raises:
        UserError: The state belongs to another run, or there is nothing to resume.
    """
    folder = out / RESUME_FOLDER
    step, before, metrics = 0, 0.0, dict[str, float]()
    if resume and _is_state(folder):
        step, before, metrics = _load(folder, trainer, identity)
    elif resume and (out / 'config.yaml').exists():
        raise UserError(f'{out} is trained to its end; choose another folder to train anew.')
    folder.mkdir(parents=True, exist_ok=True)
    if step == 0 and trainer.main:
        (out / _LOG_FILE).unlink(missing_ok=True)
        shutil.rmtree(out / BOARD_FOLDER, ignore_errors=True)
    started = time.monotonic()
    smooth = _Smooth()

    def elapsed() -> float:
        return before + time.monotonic() - started

    def waiting_share() -> float:
        return trainer.waited / max(time.monotonic() - started, 1e-9)

    def evaluate() -> None:
        nonlocal metrics
        metrics = {**smooth.means(), **trainer.evaluate()}
        metrics['samples_per_s'] = trainer.batch_size * step / elapsed()
        metrics['waiting_share'] = waiting_share()
        if not trainer.main:
            return
        line = {'step': step, 'seconds': round(elapsed(), 2), **metrics}
        with (out / _LOG_FILE).open('a', encoding='utf-8') as log:
            log.write(json.dumps(line) + '\n')
        for name, value in metrics.items():
            board.add_scalar(name.replace('_', '/', 1), value, step)
        _save(folder, trainer, identity, step, elapsed(), metrics)

    early = False
    with (
        _interrupt_flag() as interrupted,
        _bar(title, progress and trainer.main) as bar,
        _board(out, enabled=trainer.main) as board,
    ):
        while budget.fraction(step, elapsed()) < 1 and not (interrupted.is_set() or early):
            share = learning_rate_share(step, budget.fraction(step, elapsed()), warmup_steps, hold)
            smooth.add(trainer.step(step, share))
            step += 1
            if step % evaluate_every == 0:  # also when it ends here: what goes on does not go back
                evaluate()
                early = trainer.exhausted
            rate = f'{trainer.batch_size * step / elapsed():.0f} samples/s'
            rate += f'  waiting {waiting_share():.0%}'
            bar.show(step, rate, budget.fraction(step, elapsed()), smooth, metrics)
        stopped = interrupted.is_set() and not early and budget.fraction(step, elapsed()) < 1
        if stopped and trainer.main:
            _save(folder, trainer, identity, step, elapsed(), metrics)
        elif not stopped and (step % evaluate_every or not metrics):
            evaluate()
        wanted = interrupted.is_set() and not stopped
    return Outcome(step, elapsed(), stopped, metrics, early, waiting_share(), wanted)


class _Smooth:
    """Running means of what the steps log, read without waiting for each."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.weight = 0.0

    def add(self, info: Mapping[str, Tensor]) -> None:
        self.weight = 0.98 * self.weight + 0.02
        for name, value in info.items():
            self.values[name] = 0.98 * self.values.get(name, 0.0) + 0.02 * float(value)

    def means(self) -> dict[str, float]:
        return {f'train_{name}': value / self.weight for name, value in self.values.items()}


class _Bar:
    def __init__(self, progress: Progress | None, title: str) -> None:
        self.progress = progress
        self.task = progress.add_task(title, total=1.0, info='') if progress else None

    def show(
        self,
        step: int,
        rate: str,
        fraction: float,
        smooth: _Smooth,
        metrics: Mapping[str, float],
    ) -> None:
        if self.progress is None or self.task is None:
            return
        parts = [f'{step} steps', rate]
        loss = smooth.means().get('train_loss')
        if loss is not None:
            parts.append(f'loss {loss:.4g}')
        shown = ('held_out_loss', 'held_out_spearman_mean', 'held_out_auc_end')
        parts += [f'{name} {metrics[name]:.3g}' for name in shown if name in metrics]
        self.progress.update(self.task, completed=fraction, info='  '.join(parts))


@contextmanager
def _bar(title: str, enabled: bool) -> Iterator[_Bar]:
    if not enabled:
        yield _Bar(None, title)
        return
    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn('{task.fields[info]}'),
    )
    with Progress(*columns, refresh_per_second=2) as progress:
        yield _Bar(progress, title)


class _Board(Protocol):
    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None: ...


class _NoBoard:
    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        pass


@contextmanager
def _board(out: Path, *, enabled: bool) -> Iterator[_Board]:
    """Curves for TensorBoard, in the checkpoint's folder."""
    if not enabled:
        yield _NoBoard()
        return
    # Slow to import, and only training needs it.
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(out / BOARD_FOLDER)) as writer:
        yield writer


@contextmanager
def _interrupt_flag() -> Iterator[threading.Event]:
    """Turns the first Ctrl-C into a flag, so that no step is cut in half; a second one raises.

    So does SIGTERM, of a cluster's scheduler or of whoever shares out trainings; it then ends the
    process, once the state is saved.
    """
    flag, ended = threading.Event(), threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            ended.set()
        elif flag.is_set():
            raise KeyboardInterrupt
        flag.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if ended.is_set():
            signal.raise_signal(signal.SIGTERM)


def is_unfinished(out: Path) -> bool:
    """Whether a checkpoint's folder holds a run that was stopped and can go on."""
    return _is_state(out / RESUME_FOLDER)


def forget_state(out: Path) -> None:
    """Deletes what a run would go on from: it is finished, and what it made is written."""
    shutil.rmtree(out / RESUME_FOLDER, ignore_errors=True)


def _is_state(folder: Path) -> bool:
    return (folder / _STATE_FILE).is_file()


def _save(
    folder: Path,
    trainer: Trainer,
    identity: Mapping[str, Any],
    step: int,
    elapsed: float,
    metrics: Mapping[str, float],
) -> None:
    record = {'step': step, 'elapsed': elapsed, 'metrics': metrics, 'identity': identity}
    write_tensors(folder / _STATE_FILE, trainer.tensors(), {'record': json.dumps(record)})


def _load(
    folder: Path, trainer: Trainer, identity: Mapping[str, Any]
) -> tuple[int, float, dict[str, float]]:
    path = folder / _STATE_FILE
    tensors = read_tensors(path)
    try:
        with safe_open(path, 'pt') as file:
            record = json.loads(file.metadata()['record'])
        saved = record['identity']
        for key, value in json.loads(json.dumps(identity)).items():
            if saved.get(key) != value:
                raise UserError(
                    f'{folder.parent} was begun with another "{key}"; resume with the same one or '
                    f'choose another folder.'
                )
        trainer.load_tensors(tensors)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f'{path} is damaged; delete {folder} and train again.') from error
    return int(record['step']), float(record['elapsed']), dict(record['metrics'])


def step_generators(seed: int, step: int) -> tuple[np.random.Generator, torch.Generator]:
    """The random numbers of one step, from its number: so nothing needs saving to resume."""
    rng = np.random.default_rng([seed, 2, step])
    return rng, torch.Generator().manual_seed(int(rng.integers(1 << 62)))
