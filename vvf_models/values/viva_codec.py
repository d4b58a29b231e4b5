# SPDX-License-Identifier: Apache-2.0
"""What turns an image into a frame of latents for ViVa's transformer, and is not trained with it.

'wan-vae' is the authors': the video autoencoder of Wan, which takes an image as a video of one
frame. It is read from a local folder and never becomes part of a checkpoint. 'patch' stands in for
it on CPUs: a linear map of square patches to their principal components, fitted to the training
frames once and kept in the checkpoint.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from vvf_models.errors import UserError
from vvf_models.model_config import ObservationConfig, require

CODECS = ('patch', 'wan-vae')
_BLACK = -1.0


@dataclass(frozen=True)
class CodecConfig(ObservationConfig):
    """The part of ViVa's configuration that describes the codec."""

    codec: str = 'patch'  # or 'wan-vae'
    codec_folder: str = ''  # wan-vae: where it is, in the form of diffusers
    codec_stride: int = 8  # pixels per latent
    codec_channels: int = 48
    codec_whiten: float = 0.5  # patch: 0 keeps the components' variances, 1 makes them equal
    frame_size: tuple[int, ...] = ()  # wan-vae: (height, width) that images are fitted into

    def __post_init__(self) -> None:
        """Checks what would otherwise fail late.

        Raises:
            UserError: A value is out of its range.
        """
        super().__post_init__()
        require(self.codec in CODECS, f'"codec" must be one of {", ".join(CODECS)}')
        require(0 <= self.codec_whiten <= 1, '"codec_whiten" must lie in [0, 1]')
        require(self.codec_stride >= 1, '"codec_stride" must be at least 1')
        if self.codec == 'patch':
            require(not self.frame_size, '"frame_size" is for the codec wan-vae only')
            most = 3 * self.codec_stride**2
            require(
                1 <= self.codec_channels <= most,
                f'"codec_channels" must be 1 to {most}, the numbers in a patch',
            )
        else:
            require(len(self.frame_size) == 2, '"frame_size" must be (height, width)')


def latent_shape(config: CodecConfig) -> tuple[int, int, int]:
    """(C, h, w) of the latents of an image."""
    height, width = config.frame_size or (config.image_size, config.image_size)
    return config.codec_channels, height // config.codec_stride, width // config.codec_stride


class PatchCodec(nn.Module):
    """Square patches to their principal components.

    Each component is divided by its standard deviation to the power of `codec_whiten`, which makes
    fine detail count for more than its share of the pixels' variance; then all are scaled alike, to
    a mean square of 1, as latents of a diffusion model should have.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, config: CodecConfig) -> None:
        """Begins with an arbitrary orthogonal map; `fit` or a checkpoint gives the real one."""
        super().__init__()
        self.stride, self.whiten = config.codec_stride, config.codec_whiten
        side, channels = self.stride, config.codec_channels
        self.register_buffer('weight', torch.eye(channels, 3 * side**2).view(-1, 3, side, side))
        self.register_buffer('bias', torch.zeros(channels))

    @torch.no_grad()
    def fit(self, images: Tensor) -> float:
        """Computes the components.

        Args:
            images: (N, 3, S, S) float in [-1, 1].

        Returns:
            The share of the pixels' variance that the components explain.
        """
        patches = F.unfold(images, self.stride, stride=self.stride).transpose(1, 2).flatten(0, 1)
        mean = patches.mean(0)
        variances, vectors = torch.linalg.eigh((patches - mean).T.double().cov())
        variances, vectors = variances.flip(0).clamp(min=0), vectors.flip(1)
        kept = variances[: len(self.weight)]
        # A direction without variance is left as it is, not blown up.
        power = kept.clamp(min=1e-4 * float(variances[0]) + 1e-12) ** (self.whiten / 2)
        scaled = kept / power**2
        unit = scaled.mean().clamp(min=1e-12).sqrt()
        weight = (vectors.T[: len(kept)] / (power * unit)[:, None]).float()
        self.weight.copy_(weight.view_as(self.weight))
        self.bias.copy_(-(weight @ mean))
        return float(kept.sum() / variances.sum().clamp(min=1e-12))

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] to (B, C, S / stride, S / stride), float32."""
        with torch.autocast(images.device.type, enabled=False):
            return F.conv2d(images.float(), self.weight, self.bias, stride=self.stride)

    def decode(self, latents: Tensor) -> Tensor:
        """The images nearest to (B, C, h, w) latents: what is not in the components is grey."""
        flat = self.weight.flatten(1)
        inverse = torch.linalg.pinv(flat)
        patches = torch.einsum('pc,bchw->bphw', inverse, latents - self.bias[:, None, None])
        size = (latents.shape[2] * self.stride, latents.shape[3] * self.stride)
        return F.fold(patches.flatten(2), size, self.stride, stride=self.stride)


class WanCodec(nn.Module):
    """Wan's video autoencoder on single images, as the authors use it.

    An image is scaled to fit into `frame_size` with its aspect kept, black is added around it, and
    the mean of the latent distribution is taken, in units of the latents' published statistics. The
    authors do not say on which side they pad; here the image is in the middle.
    """

    def __init__(self, config: CodecConfig) -> None:
        """Reads the autoencoder, unless there is no folder yet.

        Raises:
            UserError: The folder holds no such autoencoder, or one of another size.
        """
        super().__init__()
        self.folder = config.codec_folder
        self.size = config.frame_size
        if self.folder:
            settings = _load_vae(self.folder).config
            found = (settings.z_dim, settings.scale_factor_spatial)
            if found != (config.codec_channels, config.codec_stride):
                raise UserError(
                    f'The autoencoder in {self.folder} has {found[0]} channels at stride '
                    f'{found[1]}; set "codec_channels" and "codec_stride" to these.'
                )

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, C, h, w), float32; not differentiable.

        Raises:
            UserError: The configuration names no folder.
        """
        if not self.folder:
            raise UserError('The autoencoder is missing; set "codec_folder" to its local folder.')
        vae = _load_vae(self.folder).to(images.device)
        settings = vae.config
        mean, std = (
            torch.tensor(numbers, device=images.device)[:, None, None]
            for numbers in (settings.latents_mean, settings.latents_std)
        )
        with torch.autocast(images.device.type, enabled=False):
            videos = fit_into(images.float(), self.size)[:, :, None]
            latents: Tensor = vae.encode(videos).latent_dist.mode()[:, :, 0]
        return (latents - mean) / std


def build_codec(config: CodecConfig) -> PatchCodec | WanCodec:
    """The codec that a configuration names.

    Raises:
        UserError: The autoencoder cannot be read.
    """
    return PatchCodec(config) if config.codec == 'patch' else WanCodec(config)


def fit_into(images: Tensor, size: tuple[int, ...]) -> Tensor:
    """Scales (B, 3, H, W) to fit into (height, width), aspect kept, in the middle of black."""
    height, width = size
    scale = min(height / images.shape[2], width / images.shape[3])
    inner = (round(images.shape[2] * scale), round(images.shape[3] * scale))
    if inner != tuple(images.shape[2:]):
        images = F.interpolate(images, inner, mode='bilinear', align_corners=False)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    padding = (left, width - inner[1] - left, top, height - inner[0] - top)
    return F.pad(images, padding, value=_BLACK)


@cache
def _load_vae(folder: str) -> Any:
    """One per process: copies of a model, such as its moving average, share it."""
    from diffusers import AutoencoderKLWan

    path = Path(folder)
    if (path / 'vae').is_dir():  # a whole pipeline was named
        path = path / 'vae'
    try:
        vae = AutoencoderKLWan.from_pretrained(
            str(path), local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f'{folder} holds no autoencoder of Wan; set "codec_folder" to a folder in the form of '
            'diffusers, with config.json and safetensors.'
        ) from error
    return cast(nn.Module, vae).eval().requires_grad_(False)
