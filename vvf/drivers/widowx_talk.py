# SPDX-License-Identifier: Apache-2.0
"""Conversations with a vendor's services that never block the node: one request after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

#: Yields a client and its request, and is sent the response; or yields a pause, in s.
Script = Generator[tuple[Any, Any] | float, Any, None]


class VendorError(Exception):
    """What the vendor's node does not do, as the end of a sentence that begins with its name."""


class Conversation:
    """Carries out a script of requests; `tick` has to be called regularly.

    A request without an answer is made once more, so it has to be one that may be made twice: DDS
    can lose the first answers to a client that the server has only just discovered.

    Attributes:
        timeout_s: for an answer, s.
    """

    timeout_s = 2.5

    def __init__(self) -> None:
        self._script: Script | None = None
        self._done: Callable[[str], None] = lambda _: None
        self._deadline = 0.0
        self._waiting: tuple[Any, Any] | None = None  # client and future
        self._again: Any = None  # request to make once more

    @property
    def busy(self) -> bool:
        """Whether a script runs."""
        return self._script is not None

    def begin(self, script: Script, done: Callable[[str], None]) -> None:
        """Begin a script, in the place of one that runs.

        Args:
            script: may raise a `VendorError`.
            done: called at the end with what went wrong; '' where nothing did.
        """
        self.cancel()
        self._script, self._done = script, done
        self._go_on(None)

    def cancel(self) -> None:
        """End the script that runs, if any, and forget what was asked."""
        self._forget()
        if self._script is not None:
            self._script.close()
            self._script = None

    def tick(self) -> None:
        """Go on after a pause; give up on an answer that does not come."""
        if self._script is None or time.monotonic() < self._deadline:
            return
        if self._waiting is None:
            self._go_on(None)
            return
        client, request = self._waiting[0], self._again
        self._forget()
        if request is None:
            self._end(f'its service {client.srv_name} did not answer')
        else:
            self._ask(client, request)

    def _go_on(self, answer: Any) -> None:
        assert self._script is not None
        try:
            step = self._script.send(answer)
        except StopIteration:
            self._end('')
            return
        except VendorError as error:
            self._end(str(error))
            return
        if isinstance(step, float):
            self._deadline = time.monotonic() + step
            return
        client, request = step
        if not client.service_is_ready():
            self._end(f"it offers no service {client.srv_name}: does the vendor's node run?")
            return
        self._ask(client, request)
        self._again = request

    def _ask(self, client: Any, request: Any) -> None:
        self._deadline = time.monotonic() + self.timeout_s
        future = client.call_async(request)
        self._waiting = (client, future)
        future.add_done_callback(self._answered)

    def _answered(self, future: Any) -> None:
        if self._waiting is None or self._waiting[1] is not future:
            return  # of a conversation that was given up
        self._waiting = None
        self._go_on(future.result())

    def _end(self, problem: str) -> None:
        self.cancel()
        self._done(problem)

    def _forget(self) -> None:
        self._again = None
        if self._waiting is not None:
            client, future = self._waiting
            self._waiting = None
            with suppress(ValueError, KeyError):
                client.remove_pending_request(future)
