# SPDX-License-Identifier: Apache-2.0
"""Trains a behaviour-cloned policy; the checkpoint holds the moving average of the weights."""

import copy
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vvf_models.checkpoints import save_checkpoint
from vvf_models.config import to_mapping
from vvf_models.data.frames import FAILURE, FrameStore
from vvf_models.errors import UserError
from vvf_models.policies.bc import BcConfig, BcPolicy, bc_loss, chunk_targets
from vvf_models.training.common import (
    Batches,
    Data,
    as_store,
    describe_data,
    memory_format,
    with_state_statistics,
    write_card,
)
from vvf_models.training.loop import (
    Budget,
    load_optimizer,
    load_prefixed,
    optimizer_tensors,
    prefixed,
    run,
    step_generators,
)

_EVALUATION_BATCH = 256


class BcTrainer:
    """Network, its moving average, optimiser and data."""

    def __init__(self, store: FrameStore, config: BcConfig, seed: int) -> None:
        """Splits the episodes, scales the targets and builds the network.

        Raises:
            UserError: There is no action, no success, or actions of another length.
        """
        if store.actions is None:
            raise UserError('The episodes have no actions; a policy cannot be cloned from them.')
        if store.actions.shape[1] != config.action_dim:
            raise UserError(
                f'The episodes have actions of {store.actions.shape[1]} numbers, the '
                f'configuration says {config.action_dim}; set "action_dim" and "action_scale".'
            )
        training, held_out = store.split(config.held_out_fraction, seed)
        if config.successes_only:
            training = training[store.outcome[training] != FAILURE]
            held_out = held_out[store.outcome[held_out] != FAILURE]
        if not len(training):
            raise UserError('No episode succeeded; collect demonstrations that do.')
        self.seed, self.training, self.held_out = seed, training, held_out
        self.frames = store.frames_of(training)
        self.held_out_frames = torch.from_numpy(store.frames_of(held_out))
        config = with_state_statistics(config, store, self.frames)
        self.config = config
        self.targets = torch.from_numpy(chunk_targets(store.actions, store.last, config))
        self.batches = Batches(store, config)
        torch.manual_seed(seed)
        self.model = BcPolicy(config).to(memory_format=memory_format(config))  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self._order: tuple[int, Tensor] | None = None

    def step(self, step: int, rate: float) -> Mapping[str, Tensor]:
        """One gradient step."""
        _, generator = step_generators(self.seed, step)
        frames = self._batch(step)
        images, state, hide = self.batches.take(frames, generator)
        with torch.autocast('cpu', torch.bfloat16, enabled=self.config.bfloat16):
            prediction = self.model(images, state, hide)
        loss, info = bc_loss(prediction, self.targets[frames])
        for group in self.optimizer.param_groups:
            group['lr'] = rate * self.config.learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        self.optimizer.step()
        # Young averages forget faster, or the first random weights would linger.
        decay = min(self.config.ema_decay, (step + 1) / (step + 21))
        torch._foreach_lerp_(
            list(self.average.parameters()),
            [p.detach() for p in self.model.parameters()],
            1 - decay,
        )
        return info

    def _batch(self, step: int) -> Tensor:
        """Frames of a step: each frame once per epoch, in an order that the epoch determines."""
        size = min(self.config.batch_size, len(self.frames))
        per_epoch = len(self.frames) // size
        epoch, position = divmod(step, per_epoch)
        if self._order is None or self._order[0] != epoch:
            order = np.random.default_rng([self.seed, 5, epoch]).permutation(self.frames)
            self._order = (epoch, torch.from_numpy(order))
        return self._order[1][position * size : (position + 1) * size]

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Loss and errors of the average on held-out episodes, and on as many training frames."""
        result: dict[str, float] = {}
        rng = np.random.default_rng([self.seed, 6])
        count = max(len(self.held_out_frames), 1)
        seen = torch.from_numpy(rng.permutation(self.frames)[:count])
        for name, frames in (('held_out', self.held_out_frames), ('seen', seen)):
            if not len(frames):
                continue
            totals: dict[str, float] = {}
            for part in torch.split(frames, _EVALUATION_BATCH):
                images, state, _ = self.batches.take(part, None)
                _, info = bc_loss(self.average(images, state), self.targets[part])
                for key, value in info.items():
                    totals[key] = totals.get(key, 0.0) + float(value) * len(part) / len(frames)
            result |= {f'{name}_{key}': value for key, value in totals.items()}
        return result

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs."""
        return {
            **prefixed(self.model, 'model'),
            **prefixed(self.average, 'average'),
            **optimizer_tensors(self.optimizer),
        }

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what `tensors` gave."""
        load_prefixed(self.model, tensors, 'model')
        load_prefixed(self.average, tensors, 'average')
        load_optimizer(self.optimizer, tensors)


def train_bc(
    data: Data,
    config: BcConfig,
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
) -> dict[str, float]:
    """Trains a policy and writes its checkpoint.

    Args:
        data: Episodes with actions, or frames already at the configuration's size.
        config: Network and training.
        out: The checkpoint's folder.
        seconds: How long to train, evaluations included.
        steps: How many steps; with both, whichever comes first.
        seed: Of weights, split, batches and augmentation.
        resume: Whether to go on from a run that was stopped.
        progress: Whether to show a bar.
        command: What the card says made it.
        threads: CPU threads.
        cache: Where to keep the frames on disk, memory-mapped; None for memory.

    Returns:
        Held-out and training metrics of the averaged weights, and numbers.

    Raises:
        UserError: Data, configuration or folder do not fit.
    """
    out = Path(out)
    torch.set_num_threads(threads)
    budget = Budget(steps, seconds)
    store = as_store(data, config, cache=cache, progress=progress)
    trainer = BcTrainer(store, config, seed)
    outcome = run(
        trainer,
        out,
        budget,
        identity={'seed': seed, 'config': to_mapping(config), 'frames': store.n_frames},
        evaluate_every=config.evaluate_every,
        warmup_steps=config.warmup_steps,
        resume=resume,
        progress=progress,
        title='bc',
    )
    metrics = {**outcome.metrics, **trainer.evaluate()}
    metrics |= {
        'steps': outcome.step,
        'epochs': outcome.step * config.batch_size / len(trainer.frames),
        'seconds': outcome.seconds,
        'ms_per_step': 1e3 * outcome.seconds / max(1, outcome.step),
        'parameters': sum(p.numel() for p in trainer.model.parameters()),
        'interrupted': float(outcome.interrupted),
    }
    counts = describe_data(store, len(trainer.training), len(trainer.held_out))
    card = write_card('Behaviour-cloned policy', command, seed, counts, metrics, trainer.config)
    save_checkpoint(out, 'bc', trainer.config, trainer.average.state_dict(), card)
    return metrics
