# SPDX-License-Identifier: Apache-2.0
"""Before all tests, and before each."""

import os
from contextlib import suppress

# The CUDA build of torch brings Triton, and Mesa's software OpenGL brings LLVM: a process that
# loads them in this order works, the other way round it crashes. Only tests train and render in
# one process.
with suppress(ImportError):
    import triton._C.libtriton  # noqa: F401

# The networks of tests are so small that threads wait for one another only: on two busy cores, a
# test took nine times as long with two. What tests start inherits it.
os.environ.setdefault('OMP_NUM_THREADS', '1')

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Training in this process sets as many as there are cores."""
    torch.set_num_threads(1)
