# SPDX-License-Identifier: Apache-2.0
"""Every checkpoint of the repository can be used as it is."""

from pathlib import Path

import numpy as np
import pytest

from vvf_models.checkpoints import load_config
from vvf_models.runtime import load_policy, load_value

FOLDERS = sorted(
    path.parent for path in (Path(__file__).parents[2] / 'checkpoints').glob('*/config.yaml')
)


@pytest.mark.parametrize('folder', FOLDERS, ids=lambda folder: folder.name)
def test_it_loads_and_answers(folder):
    card = (folder / 'card.md').read_text()
    assert f'vvf train {load_config(folder)[0]}' in card
    if load_config(folder)[0] in ('bc', 'cql'):
        assert load_policy(folder).horizon >= 1
        return
    runtime = load_value(folder, engine='torch')
    runtime.set_instruction('put the carrot in the bowl')
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (2, 96, 96, 3), np.uint8) for name in runtime.cameras}
    state = np.zeros((2, runtime.state_dim), np.float32) if runtime.state_dim else None
    answer = runtime.value(runtime.encode(images, state))
    assert np.isfinite(answer.value).all()
    assert ((answer.progress >= 0) & (answer.progress <= 1)).all()


def test_all_together_stay_small():
    sizes = [path.stat().st_size for path in FOLDERS[0].parent.rglob('*') if path.is_file()]
    assert max(sizes) <= 10e6
    assert sum(sizes) <= 40e6
