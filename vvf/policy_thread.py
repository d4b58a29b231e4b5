# SPDX-License-Identifier: Apache-2.0
"""A policy in a thread of its own: it computes while the node hears, and one chunk at a time.

All that touches the model happens in that thread, in the order in which it was asked for, so that
neither a long inference nor a new instruction keeps the node from its messages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vvf.errors import is_user_error
from vvf.policy_fit import wrong
from vvf.receding import Ask


@dataclass(frozen=True)
class Answer:
    """What came of a question: a chunk (H, A), or why there is none; and after how many seconds."""

    ask: Ask
    chunk: NDArray[np.float32] | None
    problem: str
    seconds: float


class PolicyThread:
    """Runs a policy.

    Args:
        load: makes the policy, a runtime of `vvf_models`; what it raises is raised here.
        wake: called from the thread when there is an answer to `take`.

    Attributes:
        model: the policy.
    """

    def __init__(self, load: Callable[[], Any], wake: Callable[[], object]) -> None:
        self._pool = ThreadPoolExecutor(1, 'policy')
        self._wake = wake
        self._answer: Future[Answer] | None = None
        self._told: Future[None] | None = None
        self._unknown = ''  # what is wrong with what it was last told; that thread's alone
        try:
            # In that thread, too: the number of threads that a library uses belongs to a thread.
            self.model: Any = self._pool.submit(load).result()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Wait for what is computed now, and end the thread."""
        self._pool.shutdown(cancel_futures=True)

    def warm_up(self) -> None:
        """Compute once on nothing: the first time is the longest."""
        model, side = self.model, self.model.image_size
        images = {camera: np.zeros((side, side, 3), np.uint8) for camera in model.cameras}
        state = np.zeros(model.state_dim, np.float32) if model.state_dim else None
        with suppress(ValueError):  # one of several tasks was not told yet which
            self._pool.submit(model.act, images, state).result()

    def tell(self, instruction: str, complain: Callable[[str], object]) -> None:
        """Say what to do from the next chunk on; one that does not know it gives no chunks then.

        Args:
            instruction: in words.
            complain: called from the thread where the policy does not know it.
        """

        def tell() -> None:
            self._unknown = ''
            try:
                self.model.set_instruction(instruction)
            except Exception as error:
                if not is_user_error(error):
                    raise
                self._unknown = str(error)
                complain(self._unknown)

        self._told = self._pool.submit(tell)
        self._told.add_done_callback(lambda _: self._wake())

    def put(
        self,
        ask: Ask,
        images: Mapping[str, NDArray[np.uint8]],
        state: NDArray[np.float32] | None,
        *,
        goes_on: bool,
    ) -> None:
        """Ask for a chunk; with `goes_on` it goes on from what is under way."""

        def answer() -> Answer:
            began = time.monotonic()
            under_way = {'previous': ask.previous, 'frozen': ask.frozen} if goes_on else {}
            chunk, problem = None, self._unknown
            if not problem:
                try:
                    chunk = self.model.act(images, state, **under_way)
                    problem = wrong(chunk, self.model.horizon, self.model.action_dim)
                except ValueError as error:
                    problem = str(error)
            usable = None if problem else chunk
            return Answer(ask, usable, problem, time.monotonic() - began)

        self._answer = self._pool.submit(answer)
        self._answer.add_done_callback(lambda _: self._wake())

    def take(self) -> Answer | None:
        """The answer, once; None while there is none. What went wrong in the thread is raised."""
        if self._told is not None and self._told.done():
            self._told.result()
            self._told = None
        if self._answer is None or not self._answer.done():
            return None
        found, self._answer = self._answer.result(), None
        return found
