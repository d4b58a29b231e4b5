# SPDX-License-Identifier: Apache-2.0
"""Independent jobs in processes of this machine, or as tasks of Ray, behind one call."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from vvf.errors import UserError, is_user_error
from vvf.processes import PARENT, end_with_parent
from vvf.ray_cluster import ray_cluster

ENGINES = ('local', 'ray')

Job = TypeVar('Job')
Result = TypeVar('Result')


def run_jobs(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int, engine: str = 'local'
) -> Iterator[Result]:
    """Results of jobs, in whatever order they are done.

    Args:
        function: of a module, so that another process finds it.
        jobs: what it is called with, one after the other.
        workers: how many run at once.
        engine: local or ray.

    Raises:
        UserError: a job found a mistake of the user's, or Ray is not there.
    """
    # Jobs are many and small: each process keeps to its core.
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    if engine == 'ray':
        yield from _with_ray(function, jobs, workers)
        return
    os.environ[PARENT] = str(os.getpid())
    # A fresh interpreter for each worker: OpenGL contexts do not survive a fork.
    context = multiprocessing.get_context('spawn')
    with context.Pool(min(workers, max(1, len(jobs))), _start) as pool:
        yield from pool.imap_unordered(function, jobs)


def _start() -> None:
    end_with_parent()
    # Ctrl-C reaches the whole group; a job that is cut off has nothing to say about it.
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(128 + number))


def _with_ray(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int
) -> Iterator[Result]:
    with ray_cluster(workers) as ray:
        task = ray.remote(num_cpus=1, max_retries=2)(_answer)
        # One more than can run, so that none waits for us, and few are to be cancelled.
        waiting = iter(jobs)
        pending = [task.remote(function, job) for job in itertools.islice(waiting, workers + 1)]
        try:
            while pending:
                (reference,), pending = ray.wait(pending, num_returns=1)
                following = itertools.islice(waiting, 1)
                pending += [task.remote(function, job) for job in following]
                try:
                    answer: Any = ray.get(reference)
                except ray.exceptions.RayError as error:
                    raise UserError(
                        f'a task of Ray failed ({str(error).splitlines()[-1]}): try fewer workers, '
                        'or --engine local'
                    ) from error
                if isinstance(answer, UserError):
                    raise answer
                yield answer
        finally:
            for reference in pending:
                ray.cancel(reference, force=True)


def _answer(function: Callable[[Job], Result], job: Job) -> Result | UserError:
    # What is raised in a task comes back as a page of traceback.
    try:
        return function(job)
    except Exception as error:
        if not is_user_error(error):
            raise
        return UserError(str(error))
