# SPDX-License-Identifier: Apache-2.0
"""What the configurations of all models share: observation, encoders, training.

A model's config dataclass inherits the groups that it needs, changes their defaults where its paper
or its trials ask for it, and adds what is its own.
"""

from dataclasses import dataclass

from vvf_models.errors import UserError


@dataclass(frozen=True)
class ObservationConfig:
    """What a model sees."""

    cameras: tuple[str, ...] = ('shoulder', 'wrist')
    image_size: int = 64  # pixels
    state_dim: int = 16  # 0: images only
    state_mean: tuple[float, ...] = ()  # from the training data
    state_std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Checks what would otherwise fail late.

        Raises:
            UserError: A value is out of its range.
        """
        require(bool(self.cameras), '"cameras" is empty; name at least one')
        require(self.image_size >= 8, '"image_size" must be at least 8')
        require(self.state_dim >= 0, '"state_dim" must not be negative')
        sizes = {len(self.state_mean), len(self.state_std), self.state_dim}
        if self.state_mean or self.state_std:
            require(len(sizes) == 1, '"state_mean" and "state_std" must have "state_dim" entries')


@dataclass(frozen=True)
class EncoderConfig:
    """How observations become latents."""

    encoder: str = 'small'  # a name of encoders/registry.py
    freeze_encoder: bool = False  # of images, up to its features; what stands on them is trained
    freeze_batch_norm: bool = False  # of plain ResNets: their drift upsets bootstrapped targets
    encoder_weights: str = ''  # a file of released VIP or R3M weights to start from; used once
    latent_dim: int = 256  # per camera; 0: the encoder's own features
    width: int = 32  # channels of the small encoder's first convolution
    fine: bool = False  # a finer, slower first layer of the small encoder
    state_latent_dim: int = 64


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained."""

    batch_size: int = 64
    learning_rate: float = 5e-4
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    hold: float = 0.5  # share of the budget at full learning rate, before the cosine
    gradient_clip: float = 0.0  # norm; 0: none
    ema_decay: float = 0.0  # of the averaged weights that are kept; 0: no average
    held_out_fraction: float = 0.1
    evaluate_every: int = 200  # steps
    patience: int = 0  # evaluations without a better score before stopping; 0: never
    bfloat16: bool = True  # in the encoders, while training
    shift: int = 4  # pixels
    crop_scale: tuple[float, ...] = ()  # least and largest area of a random resized crop
    crop_ratio: tuple[float, ...] = (0.9, 1.1)  # its width over height; R3M and VIP: .75 to 1.333
    brightness: float = 0.1
    contrast: float = 0.15
    saturation: float = 0.0
    hue: float = 0.0
    jitter_probability: float = 1.0
    state_noise: float = 0.02  # of each entry's standard deviation
    state_dropout: float = 0.0  # probability of hiding the state, so that images must do

    def check_training(self) -> None:
        """Checks what would otherwise fail late.

        Raises:
            UserError: A value is out of its range.
        """
        for name in ('batch_size', 'evaluate_every'):
            require(getattr(self, name) >= 1, f'"{name}" must be at least 1')
        require(self.learning_rate > 0, '"learning_rate" must be above 0')
        for name in (
            *('weight_decay', 'warmup_steps', 'gradient_clip', 'patience', 'shift'),
            *('brightness', 'contrast', 'saturation', 'state_noise'),
        ):
            require(getattr(self, name) >= 0, f'"{name}" must not be negative')
        require(0 <= self.hue <= 0.5, '"hue" must lie in [0, 0.5]')
        for name in ('jitter_probability', 'state_dropout'):
            require(0 <= getattr(self, name) <= 1, f'"{name}" must lie in [0, 1]')
        for name in ('ema_decay', 'held_out_fraction', 'hold'):
            require(0 <= getattr(self, name) < 1, f'"{name}" must lie in [0, 1)')
        require(
            not self.crop_scale
            or (len(self.crop_scale) == 2 and 0 < self.crop_scale[0] <= self.crop_scale[1]),
            '"crop_scale" must be [] or two shares of the area, the least first',
        )
        require(
            len(self.crop_ratio) == 2 and 0 < self.crop_ratio[0] <= self.crop_ratio[1],
            '"crop_ratio" must be two ratios of width to height above 0, the least first',
        )


@dataclass(frozen=True)
class EncodedObservationConfig(EncoderConfig, ObservationConfig):
    """An observation and its encoders."""


def require(condition: bool, message: str) -> None:
    """Raises a UserError with the message, unless the condition holds."""
    if not condition:
        raise UserError(f'Configuration: {message}.')
