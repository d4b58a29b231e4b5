# SPDX-License-Identifier: Apache-2.0
"""Where episodes are scored: in this process, in a pool of them, or as tasks of Ray.

Episodes do not depend on each other, and batches never span two of them, so all three give the same
numbers, bit for bit.
"""

from __future__ import annotations

import itertools
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from vvf.errors import UserError, is_user_error
from vvf.ray_cluster import ray_cluster
from vvf.relabelling.judging import Judges, Scored, Setup
from vvf.relabelling.plan import Item
from vvf.relabelling.reading import Failure

ENGINES = ('local', 'ray')

Result = Scored | Failure
OnFrames = Callable[[int], None]

_POLL_S = 0.2


def score_all(
    items: Sequence[Item], setup: Setup, on_frames: OnFrames = lambda count: None
) -> Iterator[Result]:
    """Score episodes, in whatever order they are done.

    Args:
        items: The episodes.
        setup: Models, goals and options; of these, engine and workers say where.
        on_frames: Told of frames as they are scored.

    Raises:
        UserError: A model cannot be loaded, or a worker died.
    """
    options = setup.options
    if options.engine == 'ray':
        return _with_ray(items, setup, on_frames)
    if options.workers > 1 and len(items) > 1:
        return _with_processes(items, setup, on_frames)
    return Judges(setup).score(items, on_frames)


def _with_processes(items: Sequence[Item], setup: Setup, on_frames: OnFrames) -> Iterator[Result]:
    # Not forked: threads of torch and OpenVINO do not survive that.
    context = multiprocessing.get_context('spawn')
    stop, done = context.Event(), context.Value('q', 0)
    workers = min(setup.options.workers, len(items))
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start, initargs=(setup, stop, done)
    )
    reported = 0
    try:
        pending: set[Future[Result]] = {pool.submit(_score_here, item) for item in items}
        while pending:
            finished, pending = wait(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            on_frames(done.value - reported)
            reported = done.value
            for future in finished:
                yield future.result()
    except BrokenProcessPool as error:
        raise UserError(
            'a worker died, perhaps for want of memory: try fewer with --workers; what was '
            'scored is kept'
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


class _StoppedError(Exception):
    """The run is over before this episode is."""


_worker: dict[str, Any] = {}


def _start(setup: Setup, stop: Any, done: Any) -> None:
    # Ctrl-C reaches the whole group; the parent decides, and tells us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker.update(setup=setup, stop=stop, done=done)


def _score_here(item: Item) -> Result:
    def on_frames(count: int) -> None:
        if _worker['stop'].is_set():
            raise _StoppedError
        with _worker['done'].get_lock():
            _worker['done'].value += count

    # Not in `_start`: what goes wrong there only breaks the pool, and its reason is lost.
    if 'judges' not in _worker:
        _worker['judges'] = Judges(_worker['setup'])
    judges: Judges = _worker['judges']
    return next(judges.score([item], on_frames))


def _with_ray(items: Sequence[Item], setup: Setup, on_frames: OnFrames) -> Iterator[Result]:
    with ray_cluster(setup.options.workers) as ray:
        gpus = float(ray.cluster_resources().get('GPU', 0.0))
        share = min(1.0, gpus / setup.options.workers)
        task = ray.remote(num_cpus=1, num_gpus=share, max_retries=2)(_score_in_ray)
        shared = ray.put(setup)
        # One more than can run, so that none waits for us, and few are to be cancelled.
        waiting = iter(items)
        room = setup.options.workers + 1
        pending = [task.remote(item, shared) for item in itertools.islice(waiting, room)]
        try:
            while pending:
                finished, pending = ray.wait(pending, num_returns=1, timeout=_POLL_S)
                for reference in finished:
                    pending += [task.remote(item, shared) for item in _next(waiting)]
                    result = _answer(ray, reference)
                    if isinstance(result, Scored):
                        on_frames(len(result.scores))
                    yield result
        finally:
            for reference in pending:
                ray.cancel(reference, force=True)


def _next(items: Iterator[Item]) -> list[Item]:
    item = next(items, None)
    return [] if item is None else [item]


def _answer(ray: Any, reference: Any) -> Result:
    try:
        answer = ray.get(reference)
    except ray.exceptions.RayError as error:
        raise UserError(
            f'a task of Ray failed ({str(error).splitlines()[-1]}): try fewer --workers, or '
            '--engine local; what was scored is kept'
        ) from error
    if isinstance(answer, UserError):
        raise answer
    result: Result = answer
    return result


def _score_in_ray(item: Item, setup: Setup) -> Result | UserError:
    # What is raised in a task comes back as a page of traceback.
    try:
        return next(_judges_of(setup).score([item]))
    except Exception as error:
        if not is_user_error(error):
            raise
        return UserError(str(error))


def _judges_of(setup: Setup) -> Judges:
    """The models, kept, since a worker serves many tasks of one run."""
    key = repr((setup.models, setup.goals, setup.options))
    if _worker.get('key') != key:
        _worker.update(key=key, judges=Judges(setup))
    judges: Judges = _worker['judges']
    return judges
