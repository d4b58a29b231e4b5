# SPDX-License-Identifier: Apache-2.0
"""Encoder outputs of other libraries, for weights and images made by a formula.

`encoder_references.json` holds, per encoder, every n-th of the outputs for two images of 64 px.
'resnetv2-*' come from timm 1.0.31 and 'resnet*' from torchvision 0.28. They are made anew, where
these can be installed, by

    PYTHONPATH=. python tests/vvf_models/encoder_references.py

'resnet34-ptr' comes from running the authors' network (Asap7772/PTR at a389d83, JAX 0.10, Flax
0.12) on the same weights, and is kept as it is.
"""

import json
import math
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import torch

from vvf_models.encoders.registry import build_encoder

FILE = Path(__file__).with_suffix('.json')
SIZE = 64
KEPT = 32  # outputs of each image
TIMM = {'resnetv2-26': (2, 2, 2, 2), 'resnetv2-50': (3, 4, 6, 3)}
TORCHVISION = ('resnet18', 'resnet34', 'resnet50')


def noise(name, shape):
    """Numbers in [-1, 1) that depend on name and index alone, by integer hashing."""
    x = np.arange(math.prod(shape), dtype=np.uint32) + np.uint32(zlib.crc32(name.encode()))
    for factor in (0x7FEB352D, 0x846CA68B):
        x = (x ^ (x >> np.uint32(16))) * np.uint32(factor)
    x ^= x >> np.uint32(16)
    return torch.from_numpy((x.astype(np.float64) / 2**31 - 1).astype(np.float32)).reshape(shape)


def images(size=SIZE):
    return noise('images', (2, 3, size, size))


def fill(module):
    """Fills every weight by the formula, of a size that keeps features around 1."""
    filled = {}
    for name, tensor in module.state_dict().items():
        values = noise(name, tuple(tensor.shape))
        if name.endswith('num_batches_tracked'):
            values = torch.zeros(())
        elif name.endswith('running_var'):
            values = 4 + values
        elif tensor.ndim > 1:
            fan_in = math.prod(tensor.shape[1:]) if tensor.ndim != 4 or 'embed' not in name else 64
            values = values * math.sqrt(6 / fan_in)
        elif name.endswith('weight'):
            values = 1 + values / 4
        else:
            values = values / 8
        filled[name] = values
    module.load_state_dict(filled)
    return module.eval()


def filled_encoder(name):
    return fill(build_encoder(name, SIZE, 0))


def thin(outputs):
    return outputs[:, :: outputs.shape[1] // KEPT]


def timm_name(name):
    """A weight of our ResNet-v2 as timm calls it."""
    name = name.replace('root.', 'stem.conv.').replace('shortcut.', 'downsample.conv.')
    if name.startswith('stages.'):
        _, stage, block, rest = name.split('.', 3)
        name = f'stages.{stage}.blocks.{block}.{rest}'
    return name


def timm_outputs(name, eps):
    from timm.layers import StdConv2d
    from timm.models.resnetv2 import ResNetV2

    weights = filled_encoder(name).state_dict()
    model = ResNetV2(layers=TIMM[name], num_classes=0, conv_layer=partial(StdConv2d, eps=eps))
    model.load_state_dict({timm_name(key): value for key, value in weights.items()})
    return model.eval()((images() + 1) / 2)


def torchvision_outputs(name):
    import torchvision

    model = getattr(torchvision.models, name)(weights=None)
    model.fc = torch.nn.Identity()
    model.load_state_dict(filled_encoder(name).state_dict())
    mean = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1)
    std = torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)
    return model.eval()(((images() + 1) / 2 - mean) / std)


@torch.no_grad()
def main():
    # torchvision's wheel is built for CUDA; beside a CPU build of torch two operators are missing,
    # which are not needed here but registered on import.
    library = torch.library.Library('torchvision', 'FRAGMENT')
    for operator in ('nms', 'qnms'):
        library.define(f'{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    references = json.loads(FILE.read_text()) if FILE.exists() else {}
    outputs = {name: timm_outputs(name, eps=1e-10) for name in TIMM}
    outputs |= {name: torchvision_outputs(name) for name in TORCHVISION}
    for name, theirs in outputs.items():
        ours = filled_encoder(name)(images())
        print(
            f'{name}: largest difference {(ours - theirs).abs().max():.1e}, of {theirs.std():.2f}'
        )
        references[name] = [[round(float(v), 5) for v in row] for row in thin(theirs)]
    for name in TIMM:
        ours = filled_encoder(name)(images())
        print(f'{name}, eps 1e-8: {(ours - timm_outputs(name, eps=1e-8)).abs().max():.1e}')
    FILE.write_text(json.dumps(references) + '\n')


if __name__ == '__main__':
    main()
