# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from tests.vvf_models.toy import toy_store


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope='session')
def store():
    return toy_store(24)
