# SPDX-License-Identifier: Apache-2.0
"""The one trainer: batches made in the background, gradients, averages, the best weights so far.

Devices and processes are Accelerate's: the same code runs on one CPU, and under `torchrun` or
`accelerate launch` on many GPUs, where each process draws batches of its own.
"""

import copy
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor

from vvf_models.training.common import Batches, memory_format
from vvf_models.training.learner import Batch, Learner
from vvf_models.training.loop import step_generators
from vvf_models.training.state_tensors import (
    load_optimizer,
    load_prefixed,
    optimizer_tensors,
    prefixed,
)

T = TypeVar('T')

_AHEAD = 2  # batches made before they are asked for
_GAP_EPISODES = 50  # training episodes judged beside the held-out ones, to show the gap
_LOSS_SAMPLES = 512


class Prefetcher:
    """Makes what the next steps need while this one computes, and counts the time spent waiting.

    Attributes:
        waited: Seconds that `get` had nothing to give.
    """

    def __init__(self, make: Callable[[int], Batch]) -> None:
        """Starts nothing yet; `make` is called with step numbers, in a thread."""
        self._make = make
        self._pool = ThreadPoolExecutor(1, 'batches')
        self._coming: dict[int, Future[Batch]] = {}
        self.waited = 0.0

    def get(self, step: int) -> Batch:
        """The batch of a step; asks for those after it."""
        for number in range(step, step + 1 + _AHEAD):
            if number not in self._coming:
                self._coming[number] = self._pool.submit(self._make, number)
        started = time.monotonic()
        batch = self._coming.pop(step).result()
        self.waited += time.monotonic() - started
        return batch

    def close(self) -> None:
        """Ends the thread; what was not asked for is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class LearnerTrainer:
    """Drives a learner, for `loop.run`."""

    def __init__(self, learner: Learner) -> None:
        """Places the learner on its device."""
        config = learner.config
        self.config = config
        self.accelerator = Accelerator(
            cpu=not torch.cuda.is_available(),
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        self.learner = learner
        learner.to(memory_format=memory_format(learner))  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(
            learner.parameter_groups(), config.learning_rate, weight_decay=config.weight_decay
        )
        self._wrapped, self.optimizer = self.accelerator.prepare(learner, optimizer)
        self.best = copy.deepcopy(learner.judged).requires_grad_(False).eval()
        self.best_score = -math.inf
        self.without_gain = 0
        self.batches = Batches(learner)
        self.prefetcher = Prefetcher(self._make)

    @property
    def batch_size(self) -> int:
        """Samples of a step, over all processes."""
        return int(self.config.batch_size * self.accelerator.num_processes)

    @property
    def waited(self) -> float:
        """Seconds spent waiting for batches."""
        return self.prefetcher.waited

    @property
    def main(self) -> bool:
        """Whether this process writes."""
        return bool(self.accelerator.is_main_process)

    @property
    def exhausted(self) -> bool:
        """Whether so many evaluations brought nothing better that training should end."""
        return bool(0 < self.config.patience <= self.without_gain)

    def _make(self, step: int) -> Batch:
        # One process draws as if it were alone; others shift the seed, not the step.
        seed = self.learner.seed + 100_003 * self.accelerator.process_index
        rng, generator = step_generators(seed, step)
        draw = self.learner.draw(rng, 'training', self.config.batch_size)
        return self.batches.take(draw, generator)

    def step(self, step: int, rate: float) -> Mapping[str, Tensor]:
        """One gradient step."""
        batch = self.prefetcher.get(step).to(self.accelerator.device)
        if self.learner.stochastic:  # dropout repeats itself in a resumed run
            torch.manual_seed(self.learner.seed * 1_000_003 + step)
        self.learner.train()
        loss, info = self._wrapped(batch)
        for group in self.optimizer.param_groups:
            group['lr'] = rate * self.config.learning_rate * group.get('scale', 1.0)
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        if self.config.gradient_clip:
            self.accelerator.clip_grad_norm_(self.learner.parameters(), self.config.gradient_clip)
        self.learner.before_update(step)
        self.optimizer.step()
        self.learner.after_update(step)
        return dict(info)

    def evaluate(self) -> dict[str, float]:
        """Judges the weights on held-out and on training episodes; keeps them if they are best."""
        learner = self.learner
        learner.eval()
        some = np.random.default_rng([learner.seed, 3]).permutation(learner.train_episodes)
        parts = {'held_out': learner.held_out_episodes, 'seen': np.sort(some[:_GAP_EPISODES])}
        metrics: dict[str, float] = {}
        for name, episodes in parts.items():
            if len(episodes):
                metrics |= {
                    f'{name}_{k}': v for k, v in learner.judge(learner.judged, episodes).items()
                }
                split = 'training' if name == 'seen' else name
                metrics |= {f'{name}_{k}': v for k, v in self._loss(split).items()}
        metrics = {name: value for name, value in metrics.items() if not math.isnan(value)}
        # Without episodes held out there is nothing better to go by than those learned from.
        prefix = 'held_out_' if len(learner.held_out_episodes) else 'seen_'
        score = learner.score(
            {k.removeprefix(prefix): v for k, v in metrics.items() if k.startswith(prefix)}
        )
        if score > self.best_score or math.isinf(self.best_score):
            self.best_score, self.without_gain = score, 0
            self.best.load_state_dict(learner.judged.state_dict())
        else:
            self.without_gain += 1
        return metrics

    @torch.no_grad()
    def _loss(self, split: str) -> dict[str, float]:
        """The loss and what it logs, on the same undisturbed samples each time."""
        rng = np.random.default_rng([self.learner.seed, 6])
        totals: dict[str, float] = {}
        size = min(self.config.batch_size, _LOSS_SAMPLES)
        parts = max(1, _LOSS_SAMPLES // size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for _ in range(parts):
                draw = self.learner.draw(rng, split, size)
                batch = self.batches.take(draw, None).to(self.accelerator.device)
                _, info = self.learner(batch)
                for name, value in info.items():
                    totals[name] = totals.get(name, 0.0) + float(value) / parts
        return totals

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs."""
        return {
            **prefixed(self.learner, 'learner'),
            **prefixed(self.best, 'best'),
            'best_score': torch.tensor(self.best_score, dtype=torch.float64),
            'without_gain': torch.tensor(self.without_gain),
            **optimizer_tensors(self.optimizer),
        }

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what `tensors` gave."""
        load_prefixed(self.learner, tensors, 'learner')
        load_prefixed(self.best, tensors, 'best')
        self.best_score = float(tensors['best_score'])
        self.without_gain = int(tensors['without_gain'])
        load_optimizer(self.optimizer, tensors)

    def close(self) -> None:
        """Ends the background thread."""
        self.prefetcher.close()
