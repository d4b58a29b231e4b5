# SPDX-License-Identifier: Apache-2.0
"""Trains any kind of model and writes its checkpoint."""

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vvf_models.checkpoints import METRICS_FILE, load_config, save_checkpoint
from vvf_models.config import to_mapping
from vvf_models.data.chain import ChainedEpisodes
from vvf_models.data.episode import Episode
from vvf_models.data.frames import FrameStore
from vvf_models.errors import UserError
from vvf_models.training.common import Data, as_store, describe_data, write_card
from vvf_models.training.kinds import continued, learner_of, streams_of
from vvf_models.training.loop import Budget, forget_state, run
from vvf_models.training.phases import begin_new_tasks
from vvf_models.training.starting import start_encoders_from, start_from
from vvf_models.training.trainer import LearnerTrainer

_log = logging.getLogger(__name__)


def train(
    kind: str,
    data: Data,
    config: Any,
    out: Path | str,
    *,
    seconds: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    resume: bool = False,
    progress: bool = True,
    command: str = '',
    threads: int = 1,
    cache: Path | str | None = None,
    goal_images: bool = True,
    init: Path | str | None = None,
    init_encoder: Path | str | None = None,
    skip_bad: Callable[[str], None] | None = None,
    task_data: Sequence[Episode] | None = None,
    indicator: Callable[[FrameStore], NDArray[np.int8]] | None = None,
) -> dict[str, float]:
    """Trains a model and writes its checkpoint.

    Args:
        kind: A name of `kinds.py`, such as 'icvf', 'bc' or 'cql'.
        data: Episodes, or frames already at the configuration's size.
        config: The kind's configuration.
        out: The checkpoint's folder.
        seconds: How long to train, evaluations included.
        steps: How many steps; with both, whichever comes first.
        seed: Of weights, split, batches and augmentation.
        resume: Whether to go on from a run that was stopped.
        progress: Whether to show a bar.
        command: What the card says made it.
        threads: CPU threads.
        cache: Where to keep the frames on disk, memory-mapped; None for memory.
        goal_images: Whether the checkpoint holds its goals as images, which people can look at
            and other models can use, or as latents, for data that may not be passed on.
        init: A checkpoint of the same kind to start from, such as one trained on video; weights
            that fit in name and shape are taken.
        init_encoder: A checkpoint of any kind whose image encoders to start from, after `init`.
        skip_bad: Told of every episode that cannot be used; without it, the first is an error.
        task_data: Episodes of the task that is trained for, of which every batch has its share
            beside `data`; only of kinds with a "mixing_ratio".
        indicator: For 'recap': says of the store which frames (N,) improve; see
            `vvf_models.training.indicators`.

    Returns:
        Held-out metrics of the kept weights, those of training episodes (`seen_...`: the gap), and
        numbers.

    Raises:
        UserError: Data, configuration, folder, `init` or `init_encoder` do not fit, or a number
            makes no sense.
        ValueError: There are `task_data` beside frames that are ready.
        KeyboardInterrupt: Ctrl-C came when all was trained: the checkpoint is written.
    """
    if threads < 1 or seed < 0:
        raise UserError('"threads" must be at least 1, and "seed" must not be negative.')
    out = Path(out)
    torch.set_num_threads(threads)
    budget = Budget(steps, seconds)
    earlier = None if init is None else load_config(init, kind)[1]
    if earlier is not None:
        config = continued(kind, config, earlier)
    prior = len(data) if isinstance(data, Sequence) else 0
    if task_data is not None:
        data = _joined(data, task_data, config)
    store = as_store(
        data, config, streams_of(kind, config), cache=cache, progress=progress, skip_bad=skip_bad
    )
    if task_data is not None:
        store = replace(store, target=store.numbers >= prior)
    if indicator is not None:
        store = replace(store, improving=indicator(store))
    torch.manual_seed(seed)
    try:
        learner = learner_of(kind, config, store, seed)
    except ValueError as error:
        raise UserError(f'The episodes cannot be trained on: {error}.') from error
    for note in learner.notes:
        _log.warning('%s', note)
    if init is not None:
        left = start_from(learner.model, Path(init), kind)
        if left:
            _log.warning(
                '%d weights begin as they were drawn, as %s has none that fit: %s%s',
                len(left), init, ', '.join(left[:4]), ', ...' if left[4:] else '',
            )  # fmt: skip
        begin_new_tasks(learner.model, learner.config, earlier)
    if init_encoder is not None:
        start_encoders_from(learner.model, Path(init_encoder))
    if init is not None or init_encoder is not None:
        if learner.average is not None:
            learner.average.load_state_dict(learner.model.state_dict())
        learner.weights_loaded()
    trainer = LearnerTrainer(learner)
    if trainer.accelerator.num_processes > 1 and seconds is not None:
        raise UserError('Several processes cannot agree on a time: give --steps, not --minutes.')
    try:
        outcome = run(
            trainer,
            out,
            budget,
            identity={'seed': seed, 'config': to_mapping(config), 'frames': store.n_frames},
            evaluate_every=config.evaluate_every,
            warmup_steps=config.warmup_steps,
            hold=config.hold,
            resume=resume,
            progress=progress,
            title=kind,
        )
    finally:
        trainer.close()
    if math.isinf(trainer.best_score) and not outcome.metrics:  # stopped before any evaluation
        trainer.evaluate()
    # Of the weights that are kept: the last evaluation is of others.
    learner.judged.load_state_dict(trainer.best.state_dict())
    metrics = trainer.evaluate()
    metrics |= {
        'steps': outcome.step,
        'seconds': outcome.seconds,
        'ms_per_step': 1e3 * outcome.seconds / max(1, outcome.step),
        'samples_per_s': outcome.step * trainer.batch_size / max(outcome.seconds, 1e-9),
        'waiting_share': outcome.waiting_share,
        'parameters': sum(p.numel() for p in learner.model.parameters()),
        'interrupted': float(outcome.interrupted),
        'stopped_early': float(outcome.stopped_early),
    }
    if trainer.main:
        final = learner.finish(trainer.best)
        counts = describe_data(store, len(learner.train_episodes), len(learner.held_out_episodes))
        notes = [*learner.notes, *(f'Left out: {reason.rstrip(".")}' for reason in store.left_out)]
        card = write_card(learner.title, command, seed, counts, metrics, final, notes)
        goals = learner.goals(trainer.best, images=goal_images)
        weights = trainer.best.state_dict()
        (out / METRICS_FILE).write_text(json.dumps(metrics, indent=1) + '\n', encoding='utf-8')
        save_checkpoint(out, kind, final, weights, card, goals, learner.goal_instructions)
        if not outcome.interrupted:
            forget_state(out)
    if outcome.stop_wanted:
        raise KeyboardInterrupt
    return metrics


def _joined(data: Data, task_data: Sequence[Episode], config: Any) -> ChainedEpisodes:
    if not hasattr(config, 'mixing_ratio'):
        raise UserError('This kind takes no task data beside its data; name all of them as data.')
    if isinstance(data, FrameStore):
        raise ValueError('frames that are ready say themselves which are of the target task')
    return ChainedEpisodes([data, task_data])
