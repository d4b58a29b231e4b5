# SPDX-License-Identifier: Apache-2.0
"""Trains a ViVa: on the costs of labelled episodes, or on the future of any clip."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vvf_models.data.augment import to_float
from vvf_models.data.frames import FAILURE, SUCCESS, UNKNOWN, FrameStore
from vvf_models.errors import UserError
from vvf_models.training.common import with_state_statistics
from vvf_models.training.learner import Batch, Draw, Indices, ValueLearner
from vvf_models.training.viva_latents import Latents, encode_store
from vvf_models.values.returns import is_known_wrong, steps_left
from vvf_models.values.viva import Viva, VivaConfig
from vvf_models.values.viva_backbone import load_backbone
from vvf_models.values.viva_codec import PatchCodec
from vvf_models.values.viva_flow import draw_sigma, flow_loss, repeat_pad

_CODEC_FRAMES = 600  # that the patch codec is fitted to


class VivaLearner(ValueLearner):
    """A ViVa, the costs of all frames and the instructions of all episodes."""

    kind = 'viva'
    title = 'ViVa value function'
    of_images = False
    model: Viva
    config: VivaConfig
    texts: Tensor | None

    def __init__(
        self,
        model: Viva,
        config: VivaConfig,
        store: FrameStore,
        episodes: tuple[Indices, Indices],
        seed: int,
    ) -> None:
        """Computes the costs, and encodes all images where the codec is slow."""
        super().__init__(model, config, store, episodes, seed)
        self.cost, self.known = costs_to_go(
            store, unlabelled_as_success=config.unlabelled_as_success
        )
        self.last = store.last
        self.cost_of_failing = 1 + (self.last - np.arange(store.n_frames)) / np.maximum(
            1, np.repeat(store.lengths, store.lengths) - 1
        )
        self.failed = np.repeat(store.outcome == FAILURE, store.lengths)
        self.frames = {
            split: self._usable(store.frames_of(chosen))
            for split, chosen in zip(('training', 'held_out'), episodes, strict=True)
        }
        different = sorted(set(store.instructions))
        of_episode = np.array([different.index(text) for text in store.instructions])
        self.instruction = np.repeat(of_episode, store.lengths)
        self.wrong = [
            np.array([n for n, other in enumerate(different) if is_known_wrong(text, other)], int)
            for text in different
        ]
        self.register_buffer('texts', model.embed(different), persistent=False)
        self.latents: Latents | None = None
        if not isinstance(model.codec, PatchCodec):
            self.latents = encode_store(model, store, config.latents_folder)

    @classmethod
    def create(cls, config: Any, store: FrameStore, seed: int) -> 'VivaLearner':
        """Splits the episodes, fits the codec and builds the network; see `Learner.create`.

        Raises:
            UserError: No episode is labelled, or weights, texts or the autoencoder are missing.
            ValueError: The episodes are too short to hold a future.
        """
        training, held_out = store.split(config.held_out_fraction, seed)
        frames = store.frames_of(training)
        if config.objective == 'video' and not (store.lengths[training] > 1).any():
            raise ValueError('every episode has one frame only, so none has a future')
        if (
            config.objective == 'value'
            and not config.unlabelled_as_success
            and not (store.outcome[training] != UNKNOWN).any()
        ):
            raise UserError(
                'No episode says whether it succeeded; label them, set "unlabelled_as_success" if '
                'they are demonstrations, or pre-train on them with "objective: video".'
            )
        if config.codec == 'wan-vae' and not config.codec_folder:
            raise UserError('The autoencoder is missing; set "codec_folder" to its local folder.')
        config = with_state_statistics(config, store, frames)
        config = _with_ranges(config, store, training)
        model = Viva(config)
        if isinstance(model.codec, PatchCodec):
            some = np.sort(np.random.default_rng([seed, 7]).permutation(frames)[:_CODEC_FRAMES])
            images = [
                to_float(torch.from_numpy(store.images[name][some])) for name in config.cameras
            ]
            model.codec.fit(torch.cat(images))
        if config.backbone_folder:
            load_backbone(model.backbone, config, model.shape[0])
        return cls(model, config, store, (training, held_out), seed)

    @classmethod
    def continued(cls, config: Any, earlier: Any) -> Any:
        """Units of the state, and its range, in which the future is told."""
        config = super().continued(config, earlier)
        if not earlier.state_low or earlier.state_dim != config.state_dim:
            return config
        return replace(config, state_low=earlier.state_low, state_high=earlier.state_high)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the labels lack."""
        if self.config.objective == 'video':
            return ()
        notes = []
        unlabelled = int((self.store.outcome == UNKNOWN).sum())
        if unlabelled:
            use = 'are left out'
            if self.config.unlabelled_as_success:
                use = 'count as successes'
            elif self.model.predicts_state:
                use = 'teach the future of the state, not the value'
            notes.append(f'{unlabelled} episodes without a label {use}')
        if not (self.store.outcome == FAILURE).any():
            notes.append('No episode failed: the values will not tell failures from successes')
        return tuple(notes)

    def _usable(self, frames: Indices) -> Indices:
        """The frames that have something to teach."""
        if self.config.objective == 'video':
            return frames[frames < self.last[frames]]
        # Without a label there is still the future, if the model is to predict one.
        return frames if self.model.predicts_state else frames[self.known[frames]]

    @property
    def stochastic(self) -> bool:
        """True: noise and its share are drawn in `forward`."""
        return True

    def draw(self, rng: np.random.Generator, split: str, count: int) -> Draw:
        """Frames with their costs, or, of clips, frames and those `horizon` steps on."""
        frames = rng.choice(self.frames[split], count)
        future = np.minimum(frames + self.config.horizon, self.last[frames])
        cost, instruction = self.cost[frames], self.instruction[frames]
        swap = rng.random(count) < self.config.wrong_instruction_share
        place = rng.random(count)
        for row in np.flatnonzero(swap & self.known[frames] & ~self.failed[frames]):
            others = self.wrong[instruction[row]]
            if len(others):
                instruction[row] = others[int(place[row] * len(others))]
                cost[row] = self.cost_of_failing[frames[row]]
        data: dict[str, NDArray[Any]] = {
            'cost': cost,
            'known': self.known[frames].astype(np.float32),
            'instruction': instruction,
        }
        if self.model.predicts_state:
            assert self.store.state is not None
            data['future_state'] = self.store.state[future]
        groups = None
        if self.config.objective == 'video':
            groups = np.tile(np.arange(count), 2)
            frames = np.concatenate([frames, future])
        if self.latents is not None:
            cameras = [self.latents[name][frames] for name in self.config.cameras]
            data['latents'] = np.stack(cameras, 1)
            if self.config.state_dim:
                assert self.store.state is not None
                data['state'] = self.store.state[frames]
            frames, groups = frames[:0], None  # no image need be loaded
        tensors = {name: torch.from_numpy(array) for name, array in data.items()}
        return Draw(frames, groups=groups, data=tensors)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of some frames."""
        model, config, data = self.active, self.config, batch.data
        assert isinstance(model, Viva)
        count = len(data['cost'])
        state, hide = batch.state, batch.hide_state
        if 'latents' in data:
            cameras = list(data['latents'].float().unbind(1))
            state, hide = data.get('state'), None
            state = None if state is None else model.normalise(state)
        else:
            with torch.no_grad():
                cameras = [model.codec.encode(images) for images in batch.images]
        latents = model.join(
            [camera[:count] for camera in cameras],
            None if state is None else state[:count],
            None if hide is None else hide[:count],
        )
        clean, weight = [], []
        if model.predicts_state:
            future = model.normalise(data['future_state'])
            clean.append(repeat_pad(future, model.shape))
            weight.append(torch.full_like(data['known'], config.state_weight))
        if config.objective == 'video':
            clean += [camera[count:] for camera in cameras]
            each = config.value_weight / len(cameras)
            weight += [torch.full_like(data['known'], each)] * len(cameras)
        else:
            clean.append((data['cost'] - 1)[:, None, None, None].expand(-1, *model.shape))
            weight.append(config.value_weight * data['known'])
        frames = torch.stack(clean, 1)
        # Drawn on the CPU, so that a seed means the same everywhere.
        sigma = draw_sigma(count, config).to(frames.device)
        noise = torch.randn(frames.shape).to(frames.device)
        share = sigma[:, None, None, None, None]
        text = None if self.texts is None else self.texts[data['instruction']]
        with torch.autocast(frames.device.type, torch.bfloat16, enabled=config.bfloat16):
            noisy = (1 - share) * frames + share * noise
            output = model.denoise(model.clean_frames(latents), noisy, sigma, text)
        loss, parts = flow_loss(output, frames, noise, sigma, torch.stack(weight, 1), config)
        info = {'loss': loss.detach()}
        if model.predicts_state:
            info['future_state_loss'] = parts[0]
        last = parts[int(model.predicts_state) :].mean()
        info['value_loss' if config.objective == 'value' else 'future_images_loss'] = last
        return loss, info

    def judge(self, model: torch.nn.Module, episodes: Indices) -> dict[str, float]:
        """The main metrics of values; none of a model of video."""
        return {} if self.config.objective == 'video' else super().judge(model, episodes)

    def score(self, metrics: Mapping[str, float]) -> float:
        """Of values Spearman plus AUC, as of any model; of video minus the held-out loss.

        The loss of values is of few samples, of any σ, and much of it is that nobody can know at
        the start how an episode ends; the metrics are of every frame and of one step from σ = 1,
        as the model is used.
        """
        if self.config.objective == 'video':
            return -metrics.get('loss', math.inf)
        return super().score(metrics)


def costs_to_go(
    store: FrameStore, *, unlabelled_as_success: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The cost to go of every frame, (N,), and whether it is known.

    (T - t) / T, and 1 more in failures; T is the step of the success, from which on nothing is
    left, or the last one. An episode of one frame has nothing left.

    Args:
        store: The frames.
        unlabelled_as_success: Whether episodes that nobody labelled have the cost of successes.
    """
    costs, known = [], []
    for length, index, outcome in zip(
        store.lengths, store.success_index, store.outcome, strict=True
    ):
        left = steps_left(int(length), int(index) if outcome == SUCCESS else -1)
        costs.append(left / max(1, left[0]) + (outcome == FAILURE))
        known.append(np.full(length, outcome != UNKNOWN or unlabelled_as_success))
    return np.concatenate(costs).astype(np.float32), np.concatenate(known)


def _with_ranges(config: VivaConfig, store: FrameStore, episodes: Indices) -> VivaConfig:
    """The configuration with the state's range and the steps of a typical success."""
    successes = episodes[store.outcome[episodes] == SUCCESS]
    typical = successes if len(successes) else episodes
    index = store.success_index[typical]
    steps = np.where(index > 0, index, store.lengths[typical] - 1)
    config = replace(config, episode_steps=max(1.0, float(np.median(steps))))
    if not config.state_dim or config.state_low:
        return config
    assert store.state is not None
    state = store.state[store.frames_of(episodes)].astype(np.float64)
    return replace(
        config,
        state_low=tuple(float(value) for value in state.min(0)),
        state_high=tuple(float(value) for value in state.max(0)),
    )
