# SPDX-License-Identifier: Apache-2.0
"""The backbone of Evo-RL's distributional value: SigLIP for the cameras, Gemma for the prompt.

The prompt holds the instruction and the state, whose entries are put into 256 bins between the 1st
and the 99th percentile of the training data. Each camera's pooled feature goes through one layer,
and the cameras are averaged; the prompt's tokens are averaged and go through another; a small
network reads both. Sizes as in MINT-SJTU/Evo-RL (Apache-2.0), `pistar06`: its full-sized models are
SigLIP so400m-patch14-384 and Gemma-3-270m, both trained on.

`vlm_folder` holds two folders as `save_pretrained` of transformers writes them, or as they are
downloaded: "vision", a SigLIP model, and "language", a Gemma text model with its tokenizer. Only
safetensors files are read, no code, and nothing is downloaded.

Where the weights are kept: with `freeze_encoder` both models stay what their folder says, and the
checkpoint holds only what stands on them. Otherwise the checkpoint holds everything. Either way the
folder is needed to load it, for configurations and tokenizer.

Where this differs from Evo-RL: all cameras are always there, so that their mean needs no mask;
images come at the configuration's size and are scaled to SigLIP's without keeping their shape; a
model without a state leaves it out of the prompt, as it does where the state is hidden in training.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from vvf_models.encoders.freezing import freeze
from vvf_models.errors import UserError

if TYPE_CHECKING:
    from vvf_models.values.distributional import DistributionalConfig

STATE_BINS = 256
MAX_TOKENS = 200
FEATURES = 512  # of the cameras, and of the prompt
_GEMMAS = ('gemma', 'gemma2', 'gemma3_text')
_TOKENIZERS = ('tokenizer.json', 'tokenizer.model')
_HIDDEN = -1.0  # in place of a bin


def prompt_of(instruction: str, bins: Sequence[int]) -> str:
    """What Gemma reads; without bins, only the instruction."""
    task = ' '.join(instruction.replace('_', ' ').split())
    state = f', State: {" ".join(map(str, bins))}' if bins else ''
    return f'Task: {task}{state}\nValue: '


def state_bins(state: Tensor) -> Tensor:
    """(B, D) in [-1, 1] to bins 0 to 255, as floats; what lies outside goes to the outermost."""
    return ((state + 1) / 2 * STATE_BINS).floor().clamp(0, STATE_BINS - 1)


class SiglipGemma(nn.Module):
    """Both models."""

    def __init__(self, folder: Path) -> None:
        """Reads the models.

        Raises:
            UserError: One is missing, damaged or of another kind.
        """
        super().__init__()
        os.environ.setdefault('HF_HUB_OFFLINE', '1')
        from transformers import AutoModel, AutoTokenizer, SiglipVisionModel

        vision, language = folder / 'vision', folder / 'language'
        # A whole SigLIP brings its text model along, which is left out.
        self.vision = _read(SiglipVisionModel, vision, ('siglip', 'siglip_vision_model'))
        self.language = _read(AutoModel, language, _GEMMAS)
        # Without its files, transformers would make up an empty one.
        if not any((language / name).is_file() for name in _TOKENIZERS):
            raise UserError(f'{language} holds no tokenizer; download it beside Gemma.')
        self.tokenizer = AutoTokenizer.from_pretrained(
            str(language), local_files_only=True, trust_remote_code=False, padding_side='right'
        )
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    @property
    def vision_features(self) -> int:
        """Length of a camera's feature."""
        return int(self.vision.config.hidden_size)

    @property
    def language_features(self) -> int:
        """Length of a prompt's feature."""
        return int(self.language.config.hidden_size)

    def see(self, images: Tensor) -> Tensor:
        """Pooled features (B, F) of (B, 3, S, S) images in [-1, 1]."""
        size = int(self.vision.config.image_size)
        if images.shape[-1] != size:
            images = F.interpolate(
                images, (size, size), mode='bilinear', antialias=True, align_corners=False
            )
        features: Tensor = self.vision(pixel_values=images).pooler_output
        return features

    def read(self, prompts: Sequence[str]) -> Tensor:
        """Mean features (N, F) over the tokens of N prompts; each different one is read once."""
        different = list(dict.fromkeys(prompts))
        tokens = self.tokenizer(
            different, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors='pt'
        )
        device = next(self.language.parameters()).device
        mask = tokens['attention_mask'].to(device)
        hidden = self.language(
            input_ids=tokens['input_ids'].to(device), attention_mask=mask
        ).last_hidden_state
        weight = mask[:, :, None].to(hidden)
        mean: Tensor = (hidden * weight).sum(1) / weight.sum(1)
        places = {prompt: place for place, prompt in enumerate(different)}
        return mean[torch.tensor([places[prompt] for prompt in prompts], device=device)]


class FrozenSiglipGemma(SiglipGemma):
    """Both models as their folder has them: neither copied nor saved, since they never change."""

    def __init__(self, folder: Path) -> None:
        """Reads the models.

        Raises:
            UserError: One is missing, damaged or of another kind.
        """
        super().__init__(folder)
        freeze(self)
        self.register_load_state_dict_post_hook(_forgive_missing)  # type: ignore[no-untyped-call]

    def __deepcopy__(self, memo: dict[int, Any]) -> 'FrozenSiglipGemma':
        """The same, for averages and targets of what stands on it."""
        return self

    def state_dict(self, *args: Any, **options: Any) -> Any:
        """Nothing to save."""
        return options.get('destination', {})


class SiglipGemmaBackbone(nn.Module):
    """SigLIP, Gemma and Evo-RL's head."""

    def __init__(self, config: 'DistributionalConfig') -> None:
        """Reads both models and builds the head.

        Raises:
            UserError: The models cannot be read.
        """
        super().__init__()
        if not config.vlm_folder:
            raise UserError(
                'The backbone "siglip-gemma" needs "vlm_folder": a folder with SigLIP in "vision" '
                'and Gemma in "language".'
            )
        folder = Path(config.vlm_folder).expanduser()
        kind = FrozenSiglipGemma if config.freeze_encoder else SiglipGemma
        self.encoder = kind(folder)
        self.fast = config.bfloat16
        self.state_dim = config.state_dim
        self.latent_size = FEATURES + config.state_dim
        dropout = config.dropout
        self.of_cameras = _layer(self.encoder.vision_features, dropout)
        self.of_prompt = _layer(self.encoder.language_features, dropout)
        self.head = nn.Sequential(
            nn.LayerNorm(2 * FEATURES),
            *_layer(2 * FEATURES, dropout),
            nn.Linear(FEATURES, config.bins),
        )

    def encode(
        self, images: list[Tensor], state: Tensor | None, hide_state: Tensor | None
    ) -> Tensor:
        """The mean of the cameras' features, and beside it the bins of the state.

        Raises:
            ValueError: The model needs a state and none is given.
        """
        cameras = torch.stack([self.of_cameras(self.encoder.see(image)) for image in images])
        latents = [cameras.float().mean(0)]
        if self.state_dim:
            if state is None:
                raise ValueError('this model needs a state')
            bins = state_bins(state)
            if hide_state is not None:
                bins = bins.masked_fill(hide_state[:, None], _HIDDEN)
            latents.append(bins)
        return torch.cat(latents, -1)

    def embed(self, instructions: Sequence[str]) -> Tensor:
        """(N, T) characters of N instructions, 0 after their end.

        The tokens depend on what stands beside them in the prompt, so that they have to wait.
        """
        rows = [torch.tensor([*map(ord, text)], dtype=torch.long) for text in instructions]
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return padded.to(next(self.of_prompt.parameters()).device)

    def logits(self, latents: Tensor, text: Tensor) -> Tensor:
        """(B, bins) of (B, L) latents and (B, T) instructions."""
        prompts = [
            prompt_of(
                ''.join(chr(letter) for letter in letters if letter),
                [int(entry) for entry in entries if entry != _HIDDEN],
            )
            for letters, entries in zip(text.tolist(), latents[:, FEATURES:].tolist(), strict=True)
        ]
        fast = self.fast and self.training
        with torch.autocast(latents.device.type, torch.bfloat16, enabled=fast):
            read = self.of_prompt(self.encoder.read(prompts))
        result: Tensor = self.head(torch.cat([latents[:, :FEATURES], read.float()], -1))
        return result


def _layer(inputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, FEATURES), nn.GELU(), nn.Dropout(dropout))


def _read(kind: Any, folder: Path, model_types: Sequence[str]) -> Any:
    """A model from its folder, in float32.

    Raises:
        UserError: It is missing, damaged or of another kind.
    """
    from transformers import AutoConfig
    from transformers.utils import logging

    if not (folder / 'config.json').is_file():
        raise UserError(f'{folder} holds no model; download one, and name its folder.')
    local: Mapping[str, Any] = {'local_files_only': True, 'trust_remote_code': False}
    bar = logging.is_progress_bar_enabled()
    level = logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        found = AutoConfig.from_pretrained(str(folder), **local).model_type
        if found not in model_types:
            raise UserError(
                f'{folder} holds a model of type "{found}"; one of {", ".join(model_types)} is '
                'needed.'
            )
        model, notes = kind.from_pretrained(
            str(folder),
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            **local,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f'{folder} cannot be read as a model with safetensors weights '
            f'({str(error).splitlines()[0]}); download it again.'
        ) from error
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
    if notes['missing_keys'] or notes['mismatched_keys']:
        raise UserError(f'{folder} lacks some of its weights; download it again.')
    return model


def _forgive_missing(module: nn.Module, keys: Any) -> None:
    """Takes from what a checkpoint lacks that which it never has."""
    own = tuple(nn.Module.state_dict(module))
    keys.missing_keys[:] = [name for name in keys.missing_keys if not name.endswith(own)]
