# SPDX-License-Identifier: Apache-2.0
"""The service `/vvf/episode/save`: the last seconds of all topics become a bag of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from vvf.bags.ring import Message, Ring
from vvf.errors import UserError


class RingSaver:
    """Writes a ring buffer in a thread, so that recording goes on meanwhile.

    Args:
        node: offers the service.
        ring: what is saved; `None` where there is no ring buffer.
        save: writes a snapshot and returns the bag's folder; it may raise `UserError`.
    """

    def __init__(
        self, node: Node, ring: Ring | None, save: Callable[[list[Message]], Path]
    ) -> None:
        self._node = node
        self._ring = ring
        self._save = save
        self._busy = False
        node.create_service(Trigger, '/vvf/episode/save', self._on_save)

    async def _on_save(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        response.success = False
        if self._ring is None:
            response.message = 'there is no ring buffer: start the graph with ring_seconds:=30'
        elif self._busy:
            response.message = 'the ring buffer is being saved already'
        elif not (messages := self._ring.snapshot()):
            response.message = 'the ring buffer is empty: nothing has been published yet'
        else:
            self._busy = True
            done: Future = Future()
            threading.Thread(target=self._write, args=(messages, done), daemon=True).start()
            response.success, response.message = await done
            self._busy = False
        return response

    def _write(self, messages: list[Message], done: Future) -> None:
        """Fill `done` with success, and the bag's folder or one sentence."""
        try:
            path = self._save(messages)
        except (UserError, OSError) as error:
            self._node.get_logger().error(f'the ring buffer was not saved: {error}')
            done.set_result((False, str(error)))
            return
        done.set_result((True, str(path)))
