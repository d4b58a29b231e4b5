# SPDX-License-Identifier: Apache-2.0
"""Trains an ICVF and keeps the weights that judge held-out episodes best."""

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vvf_models.checkpoints import save_checkpoint
from vvf_models.config import to_mapping
from vvf_models.data.frames import SUCCESS, FrameStore
from vvf_models.errors import UserError
from vvf_models.evaluation.scoring import encode_frames, episode_values, outcomes
from vvf_models.evaluation.value_metrics import value_metrics
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
from vvf_models.values.goal_sampling import GoalProbabilities, GoalSampler, Transitions
from vvf_models.values.icvf import (
    Icvf,
    IcvfConfig,
    icvf_loss,
    make_target,
    steps_to_goal,
    update_target,
)

_GAP_EPISODES = 50  # training episodes judged beside the held-out ones, to show the gap
_LOSS_SAMPLES = 256
_HOLD = 0.5  # share of the budget at full learning rate
_SHOWN = ('spearman_mean', 'spearman_min', 'auc_end', 'auc_75', 'auc_fixed_step')


class IcvfTrainer:
    """Network, target, optimiser, data, and the best target so far."""

    def __init__(self, store: FrameStore, config: IcvfConfig, seed: int) -> None:
        """Splits the episodes and builds the networks.

        Raises:
            ValueError: The episodes are too short for a transition.
        """
        self.store, self.seed = store, seed
        self.training, self.held_out = store.split(config.held_out_fraction, seed)
        config = with_state_statistics(config, store, store.frames_of(self.training))
        self.config = config
        chances = GoalProbabilities(
            config.p_random,
            config.p_trajectory,
            config.p_current,
            config.p_same_goal,
            config.p_task,
        )
        self.sampler = GoalSampler(store, self.training, chances, config.n_step)
        self.held_out_sampler = (
            GoalSampler(store, self.held_out, chances, config.n_step)
            if len(self.held_out)
            else None
        )
        self.goal_frames = choose_goal_frames(store, self.training, config.n_goals, seed)
        self.batches = Batches(store, config)
        torch.manual_seed(seed)
        self.model = Icvf(config).to(memory_format=memory_format(config))  # type: ignore[call-overload]
        self.target = make_target(self.model)
        self.best = copy.deepcopy(self.target)
        self.best_score = torch.tensor(-math.inf)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )

    def step(self, step: int, rate: float) -> Mapping[str, Tensor]:
        """One gradient step."""
        rng, generator = step_generators(self.seed, step)
        transitions = self.sampler.sample(rng, self.config.batch_size)
        loss, info = self.loss(transitions, generator)
        for group in self.optimizer.param_groups:
            group['lr'] = rate * self.config.learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        update_target(self.target, self.model, self.config.target_rate)
        self.optimizer.step()
        return info

    def loss(
        self, transitions: Transitions, generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of some transitions; without a generator, of undisturbed images."""
        count = len(transitions.current)
        differs = torch.from_numpy(transitions.goal != transitions.intent)
        # Where the goal is the intent one image serves both, with one disturbance.
        frames = [transitions.intent, transitions.goal[differs.numpy()], transitions.current]
        frames.append(transitions.next)
        images, state, hide = self.batches.take(torch.from_numpy(np.concatenate(frames)), generator)
        sizes = [count, int(differs.sum()), count, count]
        learned = sum(sizes[:3])  # the next state is seen by the target network only
        with torch.autocast('cpu', torch.bfloat16, enabled=self.config.bfloat16):
            with torch.no_grad():
                latents = self.target.encoder(images, state, hide)
            online = self.model.encoder(
                [image[:learned] for image in images],
                None if state is None else state[:learned],
                None if hide is None else hide[:learned],
            )
        intent, other, current = online.split(sizes[:3])
        goal = intent.clone()
        goal[differs] = other
        value = self.model.values(current, goal, intent)
        with torch.no_grad():
            intent, other, current, following = latents.split(sizes)
            goal = intent.clone()
            goal[differs] = other
            next_goal = self.target.values(following, goal, intent)
            next_intent = self.target.values(following, intent, intent)
            here_intent = self.target.values(current, intent, intent)
        return icvf_loss(
            value,
            next_goal,
            next_intent,
            here_intent,
            torch.from_numpy(transitions.goal_reached),
            torch.from_numpy(transitions.intent_reached),
            self.config,
            torch.from_numpy(transitions.goal_steps),
            torch.from_numpy(transitions.intent_steps),
        )

    def evaluate(self) -> dict[str, float]:
        """Metrics of the target network; keeps it if none was better.

        Spearman plus AUC, since each alone is easily had: a clock has the first, a detector of
        failures the second.
        """
        judged = self.held_out if len(self.held_out) else self.training
        metrics = self.judge(self.target, judged)
        score = sum(
            value for name in ('spearman_mean', 'auc_end') if not math.isnan(value := metrics[name])
        )
        if score > float(self.best_score):
            self.best_score = torch.tensor(score)
            self.best.load_state_dict(self.target.state_dict())
        result = {f'held_out_{name}': value for name, value in metrics.items()}
        if self.held_out_sampler is not None:
            transitions = self.held_out_sampler.sample(np.random.default_rng(0), _LOSS_SAMPLES)
            with torch.no_grad():
                result['held_out_loss'] = float(self.loss(transitions, None)[0])
            rng = np.random.default_rng([self.seed, 3])
            some = rng.permutation(self.training)[:_GAP_EPISODES]
            seen = self.judge(self.target, np.sort(some))
            result |= {f'train_{name}': value for name, value in seen.items()}
        return {name: value for name, value in result.items() if not math.isnan(value)}

    def judge(self, model: Icvf, episodes: NDArray[np.int64]) -> dict[str, float]:
        """The main metrics of some episodes against the checkpoint's goals.

        Without any labelled success, the goal is each episode's own last frame.
        """
        goals = None
        if (self.store.outcome == SUCCESS).any():
            goals = encode_frames(model, self.store, self.goal_frames)
        metrics = value_metrics(
            episode_values(model, self.store, episodes, goals),
            outcomes(self.store, episodes),
            [int(index) for index in self.store.success_index[episodes]],
            bootstrap=0,
        )
        return {name: metrics[name] for name in _SHOWN}

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs."""
        return {
            **prefixed(self.model, 'model'),
            **prefixed(self.target, 'target'),
            **prefixed(self.best, 'best'),
            'best_score': self.best_score,
            **optimizer_tensors(self.optimizer),
        }

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what `tensors` gave."""
        load_prefixed(self.model, tensors, 'model')
        load_prefixed(self.target, tensors, 'target')
        load_prefixed(self.best, tensors, 'best')
        self.best_score = tensors['best_score']
        load_optimizer(self.optimizer, tensors)

    def goals(self, *, images: bool) -> dict[str, Tensor]:
        """The goal observations for the checkpoint, or only their latents."""
        if not images:
            return {'latents': encode_frames(self.best, self.store, self.goal_frames).clone()}
        goals = {
            camera: torch.from_numpy(self.store.images[camera][self.goal_frames])
            for camera in self.config.cameras
        }
        if self.config.state_dim:
            assert self.store.state is not None
            goals['state'] = torch.from_numpy(self.store.state[self.goal_frames])
        return goals

    def distance_scale(self) -> float:
        """`d_max`: 95th percentile of the steps to the goal at the start of training episodes."""
        successes = self.training[self.store.outcome[self.training] == SUCCESS]
        own = not len(successes)
        chosen = self.training if own else successes
        goals = None if own else encode_frames(self.best, self.store, self.goal_frames)
        first = [v[0] for v in episode_values(self.best, self.store, chosen, goals)]
        steps = steps_to_goal(torch.tensor(np.array(first)), self.config.discount)
        return max(1.0, float(np.percentile(steps.numpy(), 95)))


def choose_goal_frames(
    store: FrameStore, episodes: NDArray[np.int64], count: int, seed: int
) -> NDArray[np.int64]:
    """Last frames of random successes, or of random episodes where none is labelled so."""
    successes = episodes[store.outcome[episodes] == SUCCESS]
    pool = successes if len(successes) else episodes
    chosen = np.random.default_rng([seed, 4]).permutation(pool)[:count]
    return np.asarray(np.sort(store.starts[chosen] + store.lengths[chosen] - 1))


def train_icvf(
    data: Data,
    config: IcvfConfig,
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
) -> dict[str, float]:
    """Trains an ICVF and writes its checkpoint.

    Args:
        data: Episodes, or frames already at the configuration's size.
        config: Network, objective and training.
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

    Returns:
        Held-out metrics of the kept weights, training metrics of the last ones (the gap), numbers.

    Raises:
        UserError: Data, configuration or folder do not fit.
    """
    out = Path(out)
    torch.set_num_threads(threads)
    budget = Budget(steps, seconds)
    store = as_store(data, config, cache=cache, progress=progress)
    try:
        trainer = IcvfTrainer(store, config, seed)
    except ValueError as error:
        raise UserError(f'The episodes cannot be trained on: {error}.') from error
    outcome = run(
        trainer,
        out,
        budget,
        identity={'seed': seed, 'config': to_mapping(config), 'frames': store.n_frames},
        evaluate_every=config.evaluate_every,
        warmup_steps=config.warmup_steps,
        hold=_HOLD,
        resume=resume,
        progress=progress,
        title='icvf',
    )
    if math.isinf(float(trainer.best_score)):  # stopped before the first evaluation
        trainer.evaluate()
    metrics = dict(outcome.metrics)
    judged = trainer.held_out if len(trainer.held_out) else trainer.training
    best = trainer.judge(trainer.best, judged)
    metrics |= {f'held_out_{name}': v for name, v in best.items() if not math.isnan(v)}
    metrics |= {
        'steps': outcome.step,
        'seconds': outcome.seconds,
        'ms_per_step': 1e3 * outcome.seconds / max(1, outcome.step),
        'parameters': sum(p.numel() for p in trainer.model.parameters()),
        'interrupted': float(outcome.interrupted),
    }
    final = replace(trainer.config, d_max=trainer.distance_scale())
    counts = describe_data(store, len(trainer.training), len(trainer.held_out))
    card = write_card('ICVF value function', command, seed, counts, metrics, final)
    save_checkpoint(
        out, 'icvf', final, trainer.best.state_dict(), card, trainer.goals(images=goal_images)
    )
    return metrics
