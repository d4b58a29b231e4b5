# SPDX-License-Identifier: Apache-2.0
"""Every image of a store encoded once: the autoencoder of Wan takes longer than the transformer."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vvf_models.data.augment import to_float
from vvf_models.data.frames import FrameStore
from vvf_models.errors import UserError
from vvf_models.values.viva import Viva

Latents = dict[str, NDArray[np.float16]]

_AT_ONCE = 8  # images
_META = 'meta.json'


@torch.inference_mode()
def encode_store(model: Viva, store: FrameStore, folder: str) -> Latents:
    """Per camera, the latents (N, C, h, w) of all frames, float16.

    Args:
        model: Whose codec is used, on a GPU if there is one.
        store: The frames.
        folder: Where to keep them, memory-mapped, for the next run with the same frames and codec;
            '' for memory.

    Raises:
        UserError: The autoencoder is missing, or the folder cannot be written.
    """
    cameras = model.config.cameras
    shape = (store.n_frames, *model.shape)
    if not folder:
        arrays = {camera: np.empty(shape, np.float16) for camera in cameras}
        for camera, latents in arrays.items():
            _encode(model, store.images[camera], latents)
        return arrays
    key = _key(model, store)
    try:
        return _in_folder(model, store, Path(folder), key)
    except OSError as error:
        raise UserError(
            f'{folder} cannot be written ({error}); set another "latents_folder".'
        ) from error


def _in_folder(model: Viva, store: FrameStore, folder: Path, key: dict[str, object]) -> Latents:
    cameras = model.config.cameras
    shape = (store.n_frames, *model.shape)
    meta = folder / _META
    if not (meta.is_file() and meta.read_text() == json.dumps(key)):
        folder.mkdir(parents=True, exist_ok=True)
        meta.unlink(missing_ok=True)
        for camera in cameras:
            # Under a name of its own until it is whole: several processes may do this at once.
            partial = folder / f'{camera}.{os.getpid()}.partial'
            latents = np.lib.format.open_memmap(partial, 'w+', np.float16, shape)
            _encode(model, store.images[camera], latents)
            latents.flush()
            partial.replace(folder / f'{camera}.npy')
        meta.write_text(json.dumps(key))  # last, so that an unfinished cache is never believed
    return {camera: np.load(folder / f'{camera}.npy', mmap_mode='r') for camera in cameras}


def _encode(model: Viva, images: NDArray[np.uint8], latents: NDArray[np.float16]) -> None:
    # Before training the model is still on the CPU.
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    for start in range(0, len(images), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        pixels = to_float(torch.from_numpy(np.ascontiguousarray(images[rows])).to(device))
        latents[rows] = model.codec.encode(pixels).cpu().numpy()


def _key(model: Viva, store: FrameStore) -> dict[str, object]:
    config = model.config
    content = hashlib.sha256()
    for episode in range(store.n_episodes):
        content.update(f'{store.episode_ids[episode]} {store.lengths[episode]}\n'.encode())
        for camera in config.cameras:
            content.update(store.images[camera][store.starts[episode]].tobytes())
    return {
        'codec': config.codec,
        'codec_folder': config.codec_folder,
        'shape': list(model.shape),
        'cameras': list(config.cameras),
        'frames': store.n_frames,
        'content': content.hexdigest(),
    }
