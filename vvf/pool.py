# SPDX-License-Identifier: Apache-2.0
"""Independent jobs in processes of this machine, or as tasks of Ray, behind one call."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from vvf.errors import UserError, is_user_error
from vvf.processes import PARENT, end_with_parent
from vvf.ray_cluster import ray_cluster

ENGINES = ('local', 'ray')

_LONGEST_SAVE_S = 60.0  # so long a job may take to save what it has done

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

    Whoever stops early, by Ctrl-C or since a job failed, ends the others with SIGTERM and waits for
    them: a training saves its state first.

    Raises:
        UserError: a job found a mistake of the user's, a process was killed, or Ray is not there.
        KeyboardInterrupt: Ctrl-C, or a job that was stopped by it.
    """
    # Jobs are many and small: each process keeps to its core.
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    if engine == 'ray':
        yield from _with_ray(function, jobs, workers)
        return
    os.environ[PARENT] = str(os.getpid())
    yield from _with_processes(function, jobs, workers)


def _with_processes(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int
) -> Iterator[Result]:
    # A fresh interpreter for each worker: OpenGL contexts do not survive a fork.
    context = multiprocessing.get_context('spawn')
    others = set(multiprocessing.active_children())
    processes: set[Any] = set()
    # Not `Pool`: that waits for ever for the job of a process that was killed.
    executor = ProcessPoolExecutor(min(workers, max(1, len(jobs))), context, _start)
    waiting = iter(jobs)
    pending: set[Future[Result]] = set()

    def submit(count: int) -> None:
        for job in itertools.islice(waiting, count):
            pending.add(executor.submit(_call, function, job))

    try:
        submit(workers + 1)  # one more than can run, so that none waits for us
        processes = set(multiprocessing.active_children()) - others
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            submit(len(done))
            for future in done:
                yield future.result()
    except BrokenProcessPool as error:
        raise UserError(
            'a worker process was killed, most likely for lack of memory: try fewer workers; what '
            'is done is kept.'
        ) from error
    finally:
        executor.shutdown(wait=not pending, cancel_futures=True)
        if pending:
            _end(processes)


def _end(processes: set[Any]) -> None:
    for process in processes:
        process.terminate()
    try:
        for process in processes:
            process.join(_LONGEST_SAVE_S)
    finally:  # also where Ctrl-C is pressed again
        for process in processes:
            process.kill()


def _start() -> None:
    end_with_parent()
    # Ctrl-C reaches the whole group; a job that is cut off has nothing to say about it.
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(128 + number))


def _call(function: Callable[[Job], Result], job: Job) -> Result:
    try:
        return function(job)
    finally:
        # The parent's end interrupts a job; one that saved what it had done finds nobody now.
        if os.getppid() != int(os.environ[PARENT]):
            os._exit(1)


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
