# SPDX-License-Identifier: Apache-2.0
"""ViVa: a video generator that tells proprioception ahead and, with it, the value.

Lv et al., arXiv 2604.08168; authors' code GigaAI-research/ViVa at 5bce5c8, which has no licence, so
that nothing of it is used here. A video transformer (Wan2.2) gets latent frames

    [blank, proprioception, camera 1, ..., camera n, future proprioception, value]

of which the last two are noise, and denoises them by flow matching: with x the frames and n the
noise, it sees (1 - σ) x + σ n and predicts n - x. Proprioception, in [-1, 1] by the range of the
training data, is repeated until it fills its frame, and read back as the mean of its whole copies;
the value fills its frame, and is read back as the mean. One step from σ = 1 gives the estimate.

The value is minus the cost to go: an episode of T steps costs 1/T a step and 1 more for failing, so
that costs lie in [0, 1) of successes and in [1, 2) of failures; the frame holds cost - 1. Higher is
better in what this model returns, which spans [-2, 0]; `progress` is 1 + value, at least 0. T is
the episode's own, so a step costs more in a short one: `step_cost` is 1 / T of the median success.

Where this differs from the paper [P] and the authors' code [C]:
- [C] gives failures the cost of successes; how [0, 2) is mapped to the latents' range [P] leaves
  open;
- an episode costs nothing from its success on, though the recording may run on; in [P] and [C] it
  ends there. What nobody labelled teaches the future only, or counts as a success where
  `unlabelled_as_success` says so, never as a failure;
- conditioning frames have time 0, token by token, as Wan2.2 itself conditions on an image; in [C]
  they have the time of the noisy ones;
- the time is uniform in [P], shifted by 5 in [C]: `sigma_shift`. A share `full_noise` of the
  samples has σ = 1, the only time that an estimate of one step asks for, and the only one at which
  the value cannot be read off its own noisy frame;
- `output: sample` makes the network predict x itself: from scratch, one that is to predict the
  velocity first learns to copy noise. Velocity is for weights that were trained so;
- with `marks`, what the transformer sees of a frame has a learned pattern of that frame added: by
  relative positions alone, a small one that starts from scratch hardly finds out which of the
  copied numbers a token is to give. It starts with open gates, see viva_backbone.py;
- the blank frame can be left out: it is a sixth of a small model's work, and holds nothing;
- the noise of an estimate is the same for every frame, and kept, so that estimates are repeatable;
- the text is optional, and need not be umT5's; with `wrong_instruction_share`, frames of successes
  are also shown with an instruction that names another object, as failures;
- `objective: video` is pre-training on clips: future camera frames in place of the value.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from vvf_models.encoders.observation import Normaliser
from vvf_models.errors import UserError
from vvf_models.model_config import require
from vvf_models.values.base import Goal, ValueConfig, ValueModel
from vvf_models.values.viva_backbone import BackboneConfig, build_backbone, embed_texts
from vvf_models.values.viva_codec import CodecConfig, build_codec, latent_shape
from vvf_models.values.viva_flow import FlowConfig, repeat_pad, schedule, token_times

OBJECTIVES = ('value', 'video')
_FALLBACK_RANGE = 3.0  # of a state whose range is not known, as the authors have it
_LEAST_RANGE = 4e-3  # below it a state entry counts as constant
_MARK = 0.5  # size of the marks at first, where latents have 1
_FEW_TOKENS = 128
_TOKENS_AT_ONCE = 32768


@dataclass(frozen=True)
class VivaConfig(FlowConfig, BackboneConfig, CodecConfig, ValueConfig):
    """Everything needed to rebuild and to train a ViVa. Entries of image encoders mean nothing."""

    # Frames.
    blank: bool = False  # an empty first frame, as in the paper
    marks: bool = True  # tell the transformer which frame and place each token is of
    future: bool = True  # predict proprioception `horizon` steps ahead
    horizon: int = 8  # K, in steps of the data; 50 in the paper
    # Objective.
    objective: str = 'value'  # or 'video'
    state_weight: float = 0.5
    value_weight: float = 1.0
    unlabelled_as_success: bool = False
    wrong_instruction_share: float = 0.0  # of the frames of successes
    latents_folder: str = ''  # wan-vae: where the training images' latents are kept; '': memory
    # Found in training.
    state_low: tuple[float, ...] = ()
    state_high: tuple[float, ...] = ()
    episode_steps: float = 1.0  # T: median of the training successes
    # Of the groups.
    batch_size: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    gradient_clip: float = 1.0
    ema_decay: float = 0.99

    def __post_init__(self) -> None:
        """Checks what would otherwise fail late.

        Raises:
            UserError: A value is out of its range.
        """
        super().__post_init__()
        self.check_backbone()
        self.check_flow()
        require(self.objective in OBJECTIVES, f'"objective" must be one of {", ".join(OBJECTIVES)}')
        require(self.horizon >= 1, '"horizon" must be at least 1')
        require(self.episode_steps > 0, '"episode_steps" must be above 0')
        for name in ('state_weight', 'value_weight'):
            require(getattr(self, name) >= 0, f'"{name}" must not be negative')
        require(
            0 <= self.wrong_instruction_share < 1, '"wrong_instruction_share" must lie in [0, 1)'
        )
        require(not self.freeze_encoder, '"freeze_encoder" must be false: the codec never learns')
        size = self.frame_size or (self.image_size, self.image_size)
        side = self.codec_stride * self.token_patch
        require(
            all(edge % side == 0 for edge in size),
            f'images must be multiples of {side} pixels, "codec_stride" times "token_patch"',
        )
        require(
            len(self.state_low) == len(self.state_high)
            and len(self.state_low) in (0, self.state_dim),
            '"state_low" and "state_high" must have "state_dim" entries',
        )


class RangeNormaliser(Normaliser):
    """A state in SI units to [-1, 1], by the least and greatest of the training data."""

    middle: Tensor
    reach: Tensor

    def __init__(self, config: VivaConfig) -> None:
        """Takes the ranges."""
        super().__init__(config)
        low = torch.tensor(config.state_low or (-_FALLBACK_RANGE,) * config.state_dim)
        high = torch.tensor(config.state_high or (_FALLBACK_RANGE,) * config.state_dim)
        reach = ((high - low) / 2).clamp(min=_LEAST_RANGE / 2)
        self.register_buffer('middle', (low + high) / 2, persistent=False)
        self.register_buffer('reach', reach, persistent=False)

    def forward(self, state: Tensor) -> Tensor:
        """(B, D) to (B, D)."""
        return ((state - self.middle) / self.reach).clamp(-1, 1)


class Viva(ValueModel):
    """The transformer between a frozen codec and the frames' plain decoders."""

    kind = 'viva'
    config: VivaConfig
    noise: Tensor

    def __init__(self, config: VivaConfig) -> None:
        """Builds the network.

        Raises:
            UserError: The autoencoder cannot be read.
        """
        super().__init__(config)
        self.normalise = RangeNormaliser(config)
        self.reads_text = config.text != 'none'
        self.shape = latent_shape(config)
        self.codec = build_codec(config)
        self.backbone = build_backbone(config, self.shape[0])
        source = torch.Generator('cpu').manual_seed(config.noise_seed)
        noise = torch.randn(self.n_noisy, *self.shape, generator=source, device='cpu')
        self.register_buffer('noise', noise)
        self.marks = nn.ParameterDict()
        if config.marks:
            self.marks.update(
                {name: nn.Parameter(_MARK * torch.randn(self.shape)) for name in self._roles}
            )

    @property
    def _roles(self) -> list[str]:
        """Every frame by name, in order."""
        config = self.config
        cameras = [f'camera_{number}' for number in range(len(config.cameras))]
        names = ['blank'] * config.blank + ['state'] * (config.state_dim > 0) + cameras
        names += ['future_state'] * self.predicts_state
        if config.objective == 'value':
            return [*names, 'value']
        return names + [f'future_{name}' for name in cameras]

    @property
    def predicts_state(self) -> bool:
        """Whether future proprioception is among the noisy frames."""
        return self.config.future and self.config.state_dim > 0

    @property
    def n_clean(self) -> int:
        """Conditioning frames."""
        return int(self.config.blank) + int(self.config.state_dim > 0) + len(self.config.cameras)

    @property
    def n_noisy(self) -> int:
        """Frames to be denoised: future proprioception, then the value or the future cameras."""
        last = 1 if self.config.objective == 'value' else len(self.config.cameras)
        return int(self.predicts_state) + last

    @property
    def token_grid(self) -> tuple[int, int]:
        """Rows and columns of a frame's tokens, which follow each other row by row."""
        patch = self.config.token_patch
        return self.shape[1] // patch, self.shape[2] // patch

    @property
    def frame_tokens(self) -> int:
        """Tokens of a frame."""
        return self.token_grid[0] * self.token_grid[1]

    def camera_tokens(self, camera_index: int) -> slice:
        """Which of the transformer's tokens are those of a camera."""
        first = self.n_clean - len(self.config.cameras) + camera_index
        return slice(first * self.frame_tokens, (first + 1) * self.frame_tokens)

    @property
    def latent_size(self) -> int:
        """L: the latents of all cameras, and the state as it is."""
        channels, height, width = self.shape
        return len(self.config.cameras) * channels * height * width + self.config.state_dim

    def encode(
        self, images: list[Tensor], state: Tensor | None, hide_state: Tensor | None = None
    ) -> Tensor:
        """The codec's latents of every camera and the state, side by side; see `ValueModel.encode`.

        A hidden state is 0, the middle of its range.

        Raises:
            ValueError: The model needs a state and none is given, or cameras are missing.
            UserError: The autoencoder is missing.
        """
        if len(images) != len(self.config.cameras):
            raise ValueError(f'{len(self.config.cameras)} cameras are needed, {len(images)} given')
        return self.join([self.codec.encode(image) for image in images], state, hide_state)

    def join(
        self, frames: list[Tensor], state: Tensor | None, hide_state: Tensor | None = None
    ) -> Tensor:
        """Latents (B, L) of frames (B, C, h, w), one per camera, that are encoded already."""
        parts = [frame.float().flatten(1) for frame in frames]
        if self.config.state_dim:
            if state is None:
                raise ValueError('this model needs a state')
            state = state.float()
            parts.append(state if hide_state is None else state * (~hide_state)[:, None])
        return torch.cat(parts, 1)

    def clean_frames(self, latents: Tensor) -> Tensor:
        """The conditioning frames (B, n_clean, C, h, w) of (B, L) latents."""
        batch, dim = len(latents), self.config.state_dim
        cameras = latents[:, : self.latent_size - dim].view(batch, -1, *self.shape)
        frames = [cameras]
        if dim:
            frames.insert(0, repeat_pad(latents[:, -dim:], self.shape)[:, None])
        if self.config.blank:
            frames.insert(0, torch.zeros_like(cameras[:, :1]))
        return torch.cat(frames, 1)

    def denoise(self, clean: Tensor, noisy: Tensor, sigma: Tensor, text: Tensor | None) -> Tensor:
        """What the transformer says about noisy frames: their velocity or the frames themselves.

        Args:
            clean: (B, n_clean, C, h, w).
            noisy: (B, n_noisy, C, h, w).
            sigma: (B,) share of noise in them.
            text: (B, T) as `embed` gives it, or None.

        Returns:
            (B, n_noisy, C, h, w) float32.
        """
        times = token_times(sigma, clean.shape[1], noisy.shape[1], self.frame_tokens)
        shape = self.config.text_shape
        words = clean.new_zeros(len(clean), *shape) if text is None else text.view(-1, *shape)
        # For so few tokens the plain kernel is quicker than the one that saves memory: steps of 80
        # tokens take 8 % less, of 24 tokens half.
        few = times.shape[1] <= _FEW_TOKENS
        frames = torch.cat([clean, noisy], 1)
        if self.marks:
            frames = frames + torch.stack([self.marks[name] for name in self._roles])
        with sdpa_kernel(SDPBackend.MATH) if few else nullcontext():
            output = self.backbone(
                hidden_states=frames.transpose(1, 2),
                timestep=times,
                encoder_hidden_states=words,
                return_dict=False,
            )[0]
        denoised: Tensor = output[:, :, clean.shape[1] :].transpose(1, 2).float()
        return denoised

    def generate(self, latents: Tensor, text: Tensor | None = None) -> Tensor:
        """Denoises, from the model's own noise, what follows (B, L) latents.

        Args:
            latents: From `encode`.
            text: (T,) or (B, T) as `embed` gives it, or None for a model that reads none.

        Returns:
            (B, n_noisy, C, h, w): future proprioception if the model predicts it, then the value or
            the future of every camera.
        """
        clean = self.clean_frames(latents)
        batch = len(clean)
        frames = self.noise.expand(batch, -1, -1, -1, -1)
        words = None if text is None else text.expand(batch, -1)
        for sigma, following in pairwise(schedule(self.config)):
            output = self.denoise(clean, frames, clean.new_full((batch,), sigma), words)
            if self.config.output == 'sample':
                output = (frames - output) / sigma
            frames = frames + (following - sigma) * output
        return frames

    def values(self, latents: Tensor, goal: Goal) -> Tensor:
        """Minus the cost to go, (1, B), about [-2, 0].

        Raises:
            ValueError: The model reads text and the goal has none.
            UserError: The model was trained on video only.
        """
        if self.config.objective != 'value':
            raise UserError(
                'This ViVa has seen video only and knows no values; train one with "objective: '
                'value" that starts from it (--init).'
            )
        if self.reads_text and goal.text is None:
            raise ValueError('this model needs an instruction')
        text = goal.text if self.reads_text else None
        size = max(1, _TOKENS_AT_ONCE // ((self.n_clean + self.n_noisy) * self.frame_tokens))
        parts = [self.generate(part, text)[:, -1] for part in torch.split(latents, size)]
        return -1 - torch.cat(parts).mean((1, 2, 3))[None]

    def embed(self, instructions: Sequence[str]) -> Tensor | None:
        """(N, T) of N instructions; None for a model that reads none.

        Raises:
            UserError: The texts' file is missing or lacks an instruction.
        """
        texts = embed_texts(self.config, instructions)
        return None if texts is None else texts.to(self.device)

    def progress(self, value: Tensor) -> Tensor:
        """1 where the task is done, 0 where a whole episode is left, or failure is as likely."""
        return (1 + value).clamp(0, 1)

    @property
    def discount(self) -> float:
        """1: costs are not discounted."""
        return 1.0

    @property
    def step_cost(self) -> float:
        """1 over the steps of a typical success."""
        return 1 / self.config.episode_steps

    @property
    def failure_value(self) -> float | None:
        """-1: nothing is left to do, and it has failed."""
        return -1.0 if self.config.objective == 'value' else None
