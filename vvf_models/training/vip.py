# SPDX-License-Identifier: Apache-2.0
"""Trains a VIP: its clips, its temporal cycles, and the scale of its values."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vvf_models.data.frames import FrameStore
from vvf_models.errors import UserError
from vvf_models.training.learner import Batch, Draw, Indices, ValueLearner
from vvf_models.values import tcc
from vvf_models.values.clip_sampling import ClipSampler, FirstFrame
from vvf_models.values.vip import Vip, VipConfig, vip_loss


class VipLearner(ValueLearner):
    """A VIP and the samplers of its clips."""

    kind = 'vip'
    title = 'VIP value function'
    model: Vip
    config: VipConfig

    def __init__(
        self,
        model: Vip,
        config: VipConfig,
        store: FrameStore,
        episodes: tuple[Indices, Indices],
        seed: int,
    ) -> None:
        """Indexes clips.

        Raises:
            ValueError: The episodes are too short for a transition.
            UserError: Temporal cycles are wanted and no episode succeeded.
        """
        super().__init__(model, config, store, episodes, seed)
        law = FirstFrame(
            config.first_frame,
            config.first_frame_rate,
            config.first_frame_alpha,
            config.first_frame_beta,
        )
        self.samplers = self.of_splits(
            lambda chosen: ClipSampler(
                store, chosen, streams=len(self.streams), first=law, p_task=config.p_task
            )
        )
        if config.tcc_weight and not self.samplers['training'].frames_per_video(config.tcc_frames):
            raise UserError(
                'No episode succeeded, so there is no video to take temporal cycles through; add '
                'successes, or set "tcc_weight" to 0.'
            )

    @classmethod
    def create(cls, config: Any, store: FrameStore, seed: int) -> 'VipLearner':
        """Splits the episodes and builds the network."""
        episodes = store.split(config.held_out_fraction, seed)
        config = replace(config, state_dim=0, state_mean=(), state_std=())
        return cls(Vip(config), config, store, episodes, seed)

    @classmethod
    def streams_of(cls, config: Any) -> tuple[str, ...]:
        """The cameras, then the other views."""
        return tuple(dict.fromkeys((*config.cameras, *config.views)))

    def draw(self, rng: np.random.Generator, split: str, count: int) -> Draw:
        """Clips as [first, goal, here, next] frames, then the videos' frames one by one."""
        config, sampler = self.config, self.samplers[split]
        clips = sampler.sample(rng, count)
        frames = [clips.first, clips.goal, clips.here, clips.next]
        camera = [clips.stream] * 4
        clip = np.arange(count)
        # A goal of another episode is disturbed by itself, as the recorded goals of a robot are.
        groups = [clip, np.where(clips.task, count + clip, clip), clip, clip]
        orders = [rng.permutation(count) for _ in range(config.negatives)]
        data: dict[str, NDArray[Any]] = {
            'shuffles': np.array(orders, np.int64).reshape(-1, count),
        }
        if config.tcc_weight and (number := sampler.frames_per_video(config.tcc_frames)):
            rows, streams, data['times'] = sampler.sample_videos(rng, config.tcc_videos, number)
            data['cycles'], data['cycle_starts'] = self._cycles(rng, number)
            frames.append(rows.ravel())
            camera.append(np.repeat(streams, number))
            groups.append(np.repeat(2 * count + np.arange(config.tcc_videos), number))
        return Draw(
            np.concatenate(frames),
            np.concatenate(camera),
            np.concatenate(groups) if config.same_disturbance else None,
            {name: torch.from_numpy(value) for name, value in data.items()},
        )

    def _cycles(self, rng: np.random.Generator, frames: int) -> tuple[Indices, Indices]:
        config = self.config
        if not config.tcc_cycles:
            return tcc.all_cycles(config.tcc_videos, frames)
        return tcc.random_cycles(
            rng, config.tcc_cycles, config.tcc_videos, frames, config.tcc_cycle_length
        )

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of some clips, and of some cycles."""
        data, config = batch.data, self.config
        model = cast(Vip, self.active)
        images = batch.images[0]
        with torch.autocast(images.device.type, torch.bfloat16, enabled=config.bfloat16):
            embeddings = model.embed_images(images)
        count = data['shuffles'].shape[1]
        first, goal, here, following = embeddings[: 4 * count].view(4, count, -1)
        loss, info = vip_loss(first, goal, here, following, data['shuffles'], config)
        if 'cycles' not in data:
            return loss, info
        times = data['times'].float()
        logits = tcc.cycle_back(
            embeddings[4 * count :].view(*times.shape, -1),
            data['cycles'],
            data['cycle_starts'],
            similarity=config.tcc_similarity,
            temperature=config.tcc_temperature,
        )
        cycles, more = tcc.cycle_loss(
            logits,
            data['cycle_starts'],
            times[data['cycles'][:, 0]],
            loss=config.tcc_loss,
            variance_weight=config.tcc_variance_weight,
            label_smoothing=config.tcc_label_smoothing,
            huber_delta=config.tcc_huber_delta,
        )
        loss = loss + config.tcc_weight * cycles
        return loss, info | more | {'loss': loss.detach(), 'tcc': cycles.detach()}

    def finish(self, model: nn.Module) -> VipConfig:
        """Measures the scale of the values along training successes.

        `d_max` is the 95th percentile of the distances at the start, `d_min` the median of those
        where the task is first done, `step_gain` the mean of γ V(o') - V(o) on the way there.
        Without labelled successes it is each clip's own last frame that is the goal.
        """
        assert isinstance(model, Vip)
        ways = self.ways_to_success(model)
        gains = [self.config.discount * way[1:] - way[:-1] for way in ways]
        gain = float(np.concatenate(gains).mean()) if any(len(g) for g in gains) else 1.0
        low = -float(np.median([way[-1] for way in ways]))
        high = -float(np.percentile([way[0] for way in ways], 5))
        return replace(
            self.config,
            d_max=max(high, low + 1e-3),
            d_min=low,
            step_gain=max(gain, 1e-6),  # above 0 unless nothing was learned
        )
