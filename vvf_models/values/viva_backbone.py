# SPDX-License-Identifier: Apache-2.0
"""ViVa's transformer, of diffusers' Wan, and the texts that it reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vvf_models.encoders.sentence import SENTENCE_DIM, embed_sentences
from vvf_models.errors import UserError
from vvf_models.model_config import require

TEXTS = ('none', 'sentence', 'file')


@dataclass(frozen=True)
class BackboneConfig:
    """The part of ViVa's configuration that describes the transformer and its text."""

    backbone_folder: str = ''  # weights to start from, in the form of diffusers; '': from scratch
    layers: int = 2
    heads: int = 2
    head_dim: int = 64
    ffn_dim: int = 512
    token_patch: int = 2  # latents per side of a token
    frequency_dim: int = 256  # of the time's sinusoids
    gradient_checkpointing: bool = False
    text: str = 'none'  # 'sentence': all-MiniLM-L6-v2; 'file': embeddings made beforehand
    text_file: str = ''  # file: safetensors, one (tokens, text_dim) tensor per instruction
    text_dim: int = 4096  # file: of an embedding
    text_tokens: int = 512  # file: shorter texts are filled up with zeros

    def check_backbone(self) -> None:
        """Checks what would otherwise fail late.

        Raises:
            UserError: A value is out of its range.
        """
        for name in ('layers', 'heads', 'ffn_dim', 'token_patch', 'text_dim', 'text_tokens'):
            require(getattr(self, name) >= 1, f'"{name}" must be at least 1')
        require(self.head_dim >= 6 and self.head_dim % 2 == 0, '"head_dim" must be even, 6 or more')
        require(self.text in TEXTS, f'"text" must be one of {", ".join(TEXTS)}')

    @property
    def text_shape(self) -> tuple[int, int]:
        """(tokens, numbers per token) of a text."""
        if self.text == 'file':
            return self.text_tokens, self.text_dim
        return 1, SENTENCE_DIM if self.text == 'sentence' else 1


class _Nothing(nn.Module):
    """Stands where the cross-attention was."""

    def forward(self, hidden: Tensor, *others: Any) -> Tensor:
        """0, to be added to the residual stream."""
        return torch.zeros((), dtype=hidden.dtype, device=hidden.device)


class _RmsNorm(nn.RMSNorm):
    """Takes weights of another precision than its input without a detour, or a warning."""

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., dim) to (..., dim)."""
        weight = None if self.weight is None else self.weight.to(hidden.dtype)
        return F.rms_norm(hidden, self.normalized_shape, weight, self.eps)


def build_backbone(config: BackboneConfig, channels: int) -> nn.Module:
    """The transformer with random weights; without a text it has no cross-attention."""
    from diffusers import WanTransformer3DModel

    model = WanTransformer3DModel(**_settings(config, channels))
    _open_gates(model)
    if config.text == 'none':
        for block in model.blocks:
            block.attn2, block.norm2 = _Nothing(), nn.Identity()
        model.condition_embedder.text_embedder = nn.Identity()
    for module in model.modules():
        if type(module) is nn.RMSNorm:
            module.__class__ = _RmsNorm
    if config.gradient_checkpointing:
        model.enable_gradient_checkpointing()
    return cast(nn.Module, model)


@torch.no_grad()
def _open_gates(model: Any) -> None:
    """Lets an untrained network hear its blocks, and say little at its end.

    diffusers draws the blocks' gates at about .07, since weights are meant to be loaded over them;
    from there, training starts slowly.
    """
    for block in model.blocks:
        block.scale_shift_table[:, [2, 5]] += 1.0
    model.proj_out.weight.mul_(0.1)
    model.proj_out.bias.zero_()


def _settings(config: BackboneConfig, channels: int) -> dict[str, Any]:
    return {
        'patch_size': (1, config.token_patch, config.token_patch),
        'num_attention_heads': config.heads,
        'attention_head_dim': config.head_dim,
        'in_channels': channels,
        'out_channels': channels,
        'text_dim': config.text_shape[1],
        'freq_dim': config.frequency_dim,
        'ffn_dim': config.ffn_dim,
        'num_layers': config.layers,
        'cross_attn_norm': True,
    }


def load_backbone(backbone: nn.Module, config: BackboneConfig, channels: int) -> None:
    """Takes the weights of `backbone_folder`, such as those of Wan2.2-TI2V-5B.

    Raises:
        UserError: The folder holds no such transformer, or one of another size.
    """
    from diffusers import WanTransformer3DModel

    path = Path(config.backbone_folder)
    if (path / 'transformer').is_dir():  # a whole pipeline was named
        path = path / 'transformer'
    try:
        pretrained = WanTransformer3DModel.from_pretrained(
            str(path), local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f'{config.backbone_folder} holds no transformer of Wan; set "backbone_folder" to a '
            'folder in the form of diffusers, with config.json and safetensors.'
        ) from error
    for name, value in _settings(config, channels).items():
        found = pretrained.config[name]
        found = tuple(found) if isinstance(found, list) else found
        if found != value and not (name == 'text_dim' and config.text == 'none'):
            raise UserError(
                f'The transformer in {config.backbone_folder} has {name} {found}, the '
                f'configuration makes it {value}; make both equal.'
            )
    wanted = set(backbone.state_dict())
    weights = {name: w for name, w in pretrained.state_dict().items() if name in wanted}
    backbone.load_state_dict(weights)


def embed_texts(config: BackboneConfig, instructions: Sequence[str]) -> Tensor | None:
    """(N, tokens times numbers) of N instructions; None without text.

    Raises:
        UserError: There is no embedding of an instruction, or no file of them.
    """
    if config.text == 'none':
        return None
    if config.text == 'sentence':
        return embed_sentences(instructions)
    table = _load_texts(config.text_file)
    result = torch.zeros(len(instructions), *config.text_shape)
    for row, instruction in zip(result, instructions, strict=True):
        if instruction not in table:
            raise UserError(
                f'{config.text_file} has no embedding of "{instruction}"; compute it and add it.'
            )
        embedding = table[instruction]
        if embedding.ndim != 2 or embedding.shape[1] != config.text_dim:
            raise UserError(
                f'{config.text_file}: "{instruction}" is {tuple(embedding.shape)}, not (tokens, '
                f'{config.text_dim}); compute it anew.'
            )
        count = min(len(embedding), config.text_tokens)
        row[:count] = embedding[:count]
    return result.flatten(1)


@cache
def _load_texts(path: str) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f'The texts cannot be read from {path!r}; set "text_file" to a safetensors file with '
            'one embedding per instruction.'
        ) from error
