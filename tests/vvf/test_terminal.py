# SPDX-License-Identifier: Apache-2.0
"""Waiting for somebody at a terminal."""

import io
import os
import threading

from vvf.terminal import wait_for_line


def test_a_line_ends_the_wait_and_so_does_a_graph_that_died(monkeypatch):
    person, terminal = os.openpty()
    asked = threading.Event()

    def going_on():
        asked.set()
        return True

    with os.fdopen(terminal) as stdin:
        monkeypatch.setattr('sys.stdin', stdin)
        waiting = threading.Thread(target=wait_for_line, args=(going_on,), daemon=True)
        waiting.start()
        assert asked.wait(10)
        waiting.join(0.5)
        assert waiting.is_alive(), 'nobody has entered anything'
        os.write(person, b'\n')
        waiting.join(10)
        assert not waiting.is_alive()
        wait_for_line(lambda: False)
    os.close(person)


def test_where_nobody_can_enter_anything_nobody_is_waited_for(monkeypatch):
    monkeypatch.setattr('sys.stdin', io.StringIO())
    wait_for_line(lambda: True)
