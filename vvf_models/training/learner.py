# SPDX-License-Identifier: Apache-2.0
"""What the trainer trains: a model, how its batches are drawn, and its loss.

One subclass per algorithm, in the file of its name. A draw says which frames a step needs and what
else its loss takes; it reads no weights, so that it can be made in the background, and it depends
on its random generator alone, so that a resumed run repeats itself.
"""

import copy
import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vvf_models.data.frames import SUCCESS, FrameStore
from vvf_models.encoders.freezing import freeze_batch_norm, freeze_features
from vvf_models.encoders.released import VIP_DIM, load_released
from vvf_models.evaluation.scoring import encode_frames, episode_values, outcomes
from vvf_models.evaluation.value_metrics import value_metrics
from vvf_models.values.base import GoalSet, ValueModel

Indices = NDArray[np.int64]
T = TypeVar('T')

_SHOWN = ('spearman_mean', 'spearman_min', 'auc_end', 'auc_75', 'auc_fixed_step')


@dataclass
class Draw:
    """What a step needs.

    Attributes:
        frames: (N,) rows of the store to load.
        camera: (N,) which of the learner's streams to take each frame from; None for all of them.
        groups: (N,) frames with the same number share one augmentation; None: each has its own.
        data: Whatever else the loss takes.
    """

    frames: Indices
    camera: Indices | None = None
    groups: Indices | None = None
    data: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Batch:
    """A draw with its frames loaded.

    Attributes:
        images: Per stream, (N, 3, S, S) float in [-1, 1]; a single entry if a draw names cameras.
        state: (N, D) normalised, or None.
        hide_state: (N,) bool, where the state is to be hidden, or None.
        data: As in the draw.
    """

    images: list[Tensor]
    state: Tensor | None
    hide_state: Tensor | None
    data: dict[str, Tensor]

    def to(self, device: torch.device) -> 'Batch':
        """The same on a device."""
        if device.type == 'cpu':
            return self
        return Batch(
            [image.to(device, non_blocking=True) for image in self.images],
            None if self.state is None else self.state.to(device, non_blocking=True),
            None if self.hide_state is None else self.hide_state.to(device),
            {name: tensor.to(device) for name, tensor in self.data.items()},
        )


class Learner(nn.Module):
    """A model in training.

    Attributes:
        kind: Of the checkpoint.
        title: Of its card.
        config: The configuration, with what was found in the training data.
        store: All frames.
        train_episodes: Episodes to learn from.
        held_out_episodes: Episodes to judge by.
        seed: Of everything random.
        model: What is trained.
        average: Its moving average, if the configuration wants one.
        of_images: Whether all its convolutions are of images, which have a faster layout.
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    of_images: ClassVar[bool] = True

    def __init__(
        self,
        model: nn.Module,
        config: Any,
        store: FrameStore,
        episodes: tuple[Indices, Indices],
        seed: int,
    ) -> None:
        """Takes the model, and the episodes as (training, held out)."""
        super().__init__()
        vip = False
        if getattr(config, 'encoder_weights', ''):
            origin = load_released(model, config.encoder_weights)
            vip = origin == 'vip' and config.latent_dim == VIP_DIM
            # They are in the checkpoint from here on; the file need not be there any more.
            config = replace(config, encoder_weights='')
        self.config = config
        self.store = store
        self.train_episodes, self.held_out_episodes = episodes
        self.seed = seed
        self.model = model
        self.average: nn.Module | None = None
        if config.ema_decay:
            self.average = copy.deepcopy(model).requires_grad_(False).eval()
        if getattr(config, 'freeze_batch_norm', False):
            freeze_batch_norm(model)
        if getattr(config, 'freeze_encoder', False):
            encoders = getattr(model, 'observation_encoders', None) or (model.encoder,)
            for encoder in encoders:
                freeze_features(cast(nn.Module, encoder), with_fc=vip)

    @classmethod
    @abstractmethod
    def create(cls, config: Any, store: FrameStore, seed: int) -> 'Learner':
        """Splits the episodes, completes the configuration from them, and builds the model.

        Raises:
            ValueError: The episodes cannot be learned from.
            UserError: The episodes lack something.
        """

    @classmethod
    def continued(cls, config: Any, earlier: Any) -> Any:
        """The configuration for a run that starts from the weights of an earlier one.

        Units of the state are what those weights mean, and stay, where it has as many numbers.
        """
        if not earlier.state_mean or earlier.state_dim != config.state_dim:
            return config
        return replace(config, state_mean=earlier.state_mean, state_std=earlier.state_std)

    @classmethod
    def streams_of(cls, config: Any) -> tuple[str, ...]:
        """The cameras that training with a configuration needs."""
        return tuple(config.cameras)

    @property
    def streams(self) -> tuple[str, ...]:
        """The cameras to load, in the order that `Draw.camera` counts them."""
        return self.streams_of(self.config)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What is trained; with `scale`, at that share of the configuration's learning rate."""
        return [{'params': [p for p in self.parameters() if p.requires_grad]}]

    def weights_loaded(self) -> None:
        """Called when the model got weights to start from; copies of it have to follow."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know about the data, for the card: sentences without a full stop."""
        return ()

    @property
    def stochastic(self) -> bool:
        """Whether `forward` draws random numbers of its own, from torch's global generator."""
        return any(isinstance(m, nn.Dropout) and m.p > 0 for m in self.model.modules())

    @abstractmethod
    def draw(self, rng: np.random.Generator, split: str, count: int) -> Draw:
        """What a step needs, from 'training' or 'held_out' episodes.

        Args:
            rng: Source of everything random.
            split: Which episodes.
            count: Batch size.
        """

    @abstractmethod
    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and what is worth logging."""

    def before_update(self, step: int) -> None:
        """Called with the gradients, before the optimiser's step."""

    @torch.no_grad()
    def after_update(self, step: int) -> None:
        """Moves the average; a young one forgets faster, or the first weights would linger."""
        if self.average is None:
            return
        decay = min(self.config.ema_decay, (step + 1) / (step + 21))
        torch._foreach_lerp_(
            list(self.average.parameters()),
            [parameter.detach() for parameter in self.model.parameters()],
            1 - decay,
        )
        for kept, buffer in zip(self.average.buffers(), self.model.buffers(), strict=True):
            kept.copy_(buffer)

    @property
    def judged(self) -> nn.Module:
        """The weights that are judged and kept."""
        return self.model if self.average is None else self.average

    @property
    def active(self) -> nn.Module:
        """What a loss is of: the model in training, the judged weights in evaluation."""
        return self.model if self.training else self.judged

    def judge(self, model: nn.Module, episodes: Indices) -> dict[str, float]:
        """Metrics of weights such as `judged` on whole episodes."""
        return {}

    def score(self, metrics: Mapping[str, float]) -> float:
        """How good weights are, from what `judge` and the loss say of the episodes held out.

        Higher is better.
        """
        return -metrics.get('loss', math.inf)

    def finish(self, model: nn.Module) -> Any:
        """The configuration for the checkpoint, with what can be known only after training."""
        return self.config

    def goals(self, model: nn.Module, *, images: bool) -> dict[str, Tensor]:
        """Goal observations for the checkpoint, or only their latents; none by default."""
        return {}

    @property
    def goal_instructions(self) -> tuple[str, ...]:
        """The instruction of each goal; none by default."""
        return ()


class ValueLearner(Learner):
    """A value model in training, judged by how its values run along held-out episodes."""

    model: ValueModel

    def __init__(
        self,
        model: ValueModel,
        config: Any,
        store: FrameStore,
        episodes: tuple[Indices, Indices],
        seed: int,
    ) -> None:
        """As of `Learner`; chooses the goal frames that the checkpoint keeps."""
        super().__init__(model, config, store, episodes, seed)
        self.goal_frames = choose_goal_frames(store, self.train_episodes, config.n_goals, seed)

    def of_splits(self, make: Callable[[Indices], T]) -> dict[str, T]:
        """What draws from the training and from the held-out episodes, of splits that have any."""
        splits = {'training': self.train_episodes, 'held_out': self.held_out_episodes}
        return {split: make(chosen) for split, chosen in splits.items() if len(chosen)}

    @property
    def labelled(self) -> bool:
        """Whether any episode is known to have succeeded."""
        return bool((self.store.outcome == SUCCESS).any())

    def judge(self, model: nn.Module, episodes: Indices) -> dict[str, float]:
        """The main metrics against the checkpoint's goals.

        Without any labelled success, the goal is each episode's own last frame.
        """
        assert isinstance(model, ValueModel)
        metrics = value_metrics(
            episode_values(model, self.store, episodes, self.goal_set(model)),
            outcomes(self.store, episodes),
            [int(index) for index in self.store.success_index[episodes]],
            bootstrap=0,
        )
        return {name: metrics[name] for name in _SHOWN}

    @property
    def goal_instructions(self) -> tuple[str, ...]:
        """The instruction of each goal."""
        return tuple(self.store.instructions[e] for e in self.store.episode_of[self.goal_frames])

    def goal_set(self, model: ValueModel) -> GoalSet | None:
        """The checkpoint's goals, encoded; None where a model takes none, or without successes."""
        if not (model.takes_goal and self.labelled):
            return None
        latents = encode_frames(model, self.store, self.goal_frames)
        return GoalSet(latents, self.goal_instructions)

    def ways_to_success(self, model: ValueModel) -> list[NDArray[np.floating]]:
        """Values along each training success, up to the frame where the task is done.

        Without labelled successes, along every training episode to its last frame, which is then
        its own goal.
        """
        successes = self.train_episodes[self.store.outcome[self.train_episodes] == SUCCESS]
        if not len(successes):
            return episode_values(model, self.store, self.train_episodes, None)
        values = episode_values(model, self.store, successes, self.goal_set(model))
        ends = self.store.success_index[successes]
        return [v[: end + 1] if end >= 0 else v for v, end in zip(values, ends, strict=True)]

    def score(self, metrics: Mapping[str, float]) -> float:
        """Spearman plus AUC: each alone is easily had, by a clock or by a detector of failures."""
        parts = [metrics.get(name, math.nan) for name in ('spearman_mean', 'auc_end')]
        known = [part for part in parts if not math.isnan(part)]
        return sum(known) if known else -math.inf

    def goals(self, model: nn.Module, *, images: bool) -> dict[str, Tensor]:
        """The goal observations, as images and states or as latents."""
        assert isinstance(model, ValueModel)
        if not model.takes_goal:
            return {}
        if not images:
            return {'latents': encode_frames(model, self.store, self.goal_frames).clone()}
        goals = {
            camera: torch.from_numpy(self.store.images[camera][self.goal_frames])
            for camera in self.config.cameras
        }
        if self.config.state_dim:
            assert self.store.state is not None
            goals['state'] = torch.from_numpy(self.store.state[self.goal_frames])
        return goals


def choose_goal_frames(store: FrameStore, episodes: Indices, count: int, seed: int) -> Indices:
    """Last frames of random successes, or of random episodes where none is labelled so.

    `count` of each instruction, since a goal of one task is none of another.
    """
    successes = episodes[store.outcome[episodes] == SUCCESS]
    pool = successes if len(successes) else episodes
    order = np.random.default_rng([seed, 4]).permutation(pool)
    chosen: list[int] = []
    taken: Counter[str] = Counter()
    for episode in order:
        instruction = store.instructions[episode]
        if taken[instruction] < count:
            taken[instruction] += 1
            chosen.append(int(episode))
    picked = np.array(chosen, np.int64)
    return np.asarray(np.sort(store.starts[picked] + store.lengths[picked] - 1))
