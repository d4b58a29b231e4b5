# SPDX-License-Identifier: Apache-2.0
"""A Ray cluster for one run: the one that is named, or one of this machine alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vvf.errors import UserError


@contextlib.contextmanager
def ray_cluster(workers: int) -> Iterator[Any]:
    """The cluster that RAY_ADDRESS names, or one of this machine alone that ends with the run."""
    os.environ['RAY_USAGE_STATS_ENABLED'] = '0'
    # Of no use on the loopback, and announced on stderr.
    os.environ.setdefault('RAY_AUTH_MODE', 'disabled')
    try:
        import ray
    except ImportError as error:
        raise UserError(
            f'--engine ray needs the package ray ({error}): install it, or use --engine local'
        ) from error
    if os.environ.get('RAY_ADDRESS'):
        ray.init(log_to_driver=False, configure_logging=False)
        try:
            yield ray
        finally:
            ray.shutdown()
        return
    # Sockets lie in it, whose paths may not be long.
    scratch = Path(tempfile.mkdtemp(prefix='vvf-ray-', dir='/tmp'))
    try:
        ray.init(
            num_cpus=workers,
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            object_store_memory=200 << 20,
            _node_ip_address='127.0.0.1',
            _temp_dir=str(scratch),
        )
        yield ray
    finally:
        ray.shutdown()
        shutil.rmtree(scratch, ignore_errors=True)
