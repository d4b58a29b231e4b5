# SPDX-License-Identifier: Apache-2.0
"""Before all tests."""

from contextlib import suppress

# The CUDA build of torch brings Triton, and Mesa's software OpenGL brings LLVM: a process that
# loads them in this order works, the other way round it crashes. Only tests train and render in
# one process.
with suppress(ImportError):
    import triton._C.libtriton  # noqa: F401
