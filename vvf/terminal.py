# SPDX-License-Identifier: Apache-2.0
"""Single keys of a terminal, as they are pressed."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: What keys such as arrows send: ESC [ ... letter, ESC [ [ letter, or ESC O letter. Any other ESC
#: is the key itself, whatever comes with it: it stops the arm.
_KEY = re.compile(r'\x1b\[\[?[0-9;?]*[ -/]*[@-~]|\x1bO[A-Za-z]|.', re.DOTALL)
#: The begin of one whose rest is not there yet. An ESC that comes alone counts at once.
_CUT = re.compile(r'(?:.\x1b|\x1b(?:\[\[?[0-9;?]*[ -/]*|O))\Z', re.DOTALL)
_REST_S = 0.02
_NAMES = {
    '\x1b[A': 'up',
    '\x1b[B': 'down',
    '\x1b[C': 'right',
    '\x1b[D': 'left',
    '\x1bOA': 'up',
    '\x1bOB': 'down',
    '\x1bOC': 'right',
    '\x1bOD': 'left',
    '\x1b[5~': 'pageup',
    '\x1b[6~': 'pagedown',
    '\x1b': 'esc',
    '\t': 'tab',
    '\x7f': 'backspace',
    '\b': 'backspace',
}


def names_of(text: str) -> list[str]:
    """The keys in what a terminal sent: characters, and names such as 'up' and 'esc'.

    Keys that are neither are left out.
    """
    return [
        _NAMES.get(key, key)
        for key in _KEY.findall(text)
        if key in _NAMES or (len(key) == 1 and key.isprintable())
    ]


def wait_for_line(going_on: Callable[[], bool]) -> None:
    """Wait until somebody enters a line; not where nobody can, nor for longer than `going_on`."""
    while sys.stdin.isatty() and going_on():
        if select.select([sys.stdin.fileno()], [], [], 0.2)[0]:
            sys.stdin.readline()
            return


def pressed() -> Iterator[str]:
    """The keys pressed since the last call; 'q' if the terminal is gone."""
    number, text, gone = sys.stdin.fileno(), '', False
    for patience in (0.0, _REST_S):  # waits once at most: a key that is held must not put off ESC
        while not gone and select.select([number], [], [], patience)[0]:
            data = os.read(number, 4096)
            text, gone, patience = text + data.decode('ascii', 'ignore'), not data, 0.0
        if not _CUT.search(text):
            break
    yield from names_of(text)
    if gone:
        yield 'q'


@contextmanager
def single_keys() -> Iterator[None]:
    """Keys arrive one by one and are not shown; Ctrl-C stays what it is."""
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)
        yield
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
