# SPDX-License-Identifier: Apache-2.0
"""Episodes by the keys of a terminal: start, stop, judge, save, and see what is recorded."""

from __future__ import annotations

import math
import os
import re
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vvf.episode_client import EpisodeClient, EpisodeStatus
from vvf.errors import UserError

#: The keys that judge: they end the running episode, or label the last one.
OUTCOME_KEYS = {'s': 'success', 'f': 'failure', 'a': 'aborted'}
HELP = 'space start/stop   s success   f failure   a abort   r save ring buffer   q quit'
#: What keys such as arrows send: ESC [ ... letter, or ESC and one or two characters.
_SEQUENCE = re.compile(r'\x1b(\[[0-9;?]*[ -/]*[@-~]|O.|.)?')
_DRAW_S = 0.2
_SILENT_S = 3.0


def run_keys(client: EpisodeClient) -> None:
    """Show the graph's episodes and obey keys until `q`.

    Raises:
        UserError: this is no terminal, or no graph runs.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError('`vvf episode keys` needs a terminal; use `vvf episode start` and `end`.')
    client.wait_for_graph()
    desk = Desk(client)
    console = Console()
    with _single_keys(), Live(console=console, screen=True, auto_refresh=False) as live:
        drawn = 0.0
        while not desk.done:
            client.spin(0.05)
            desk.look_at_answer()
            for key in _pressed():
                desk.press(key)
            if time.monotonic() - drawn > _DRAW_S:
                live.update(desk.draw(), refresh=True)
                drawn = time.monotonic()
    console.print(desk.said or 'nothing was changed', highlight=False)
    if client.running:
        console.print(f'episode {client.running} goes on', highlight=False)


class Desk:
    """What keys do, and what is shown: one request at a time, and nothing blocks.

    Attributes:
        said: the outcome of the last request, in a few words.
        done: whether it is over.
    """

    def __init__(self, client: EpisodeClient) -> None:
        self.said = ''
        self.done = False
        self._client = client
        self._pending: Any = None
        self._what: Callable[[Any], str] = str

    def press(self, key: str) -> None:
        """Obey one key; others than those of `HELP` do nothing."""
        if key == 'q':
            self.done = True
            return
        if key not in ' rsfa':
            return
        if self._pending is not None:
            self.said = 'one moment: the last request is not answered yet'
            return
        try:
            self._ask(key)
        except UserError as error:
            self.said = str(error)

    def look_at_answer(self) -> None:
        """Take the answer to the last request, if it has come."""
        if self._pending is None or not self._pending.done():
            return
        response, self._pending = self._pending.result(), None
        self.said = self._what(response) if response.success else response.message

    def draw(self) -> RenderableType:
        """The whole screen."""
        silent = time.monotonic() - self._client.heard_s > _SILENT_S
        status = self._client.status or EpisodeStatus(message='waiting for the first report')
        running = self._client.running
        head = Text()
        if silent:
            head.append('the episode node is silent', style='bold red')
        elif running:
            head.append('● ', style='bold red')
            head.append(f'{running}   {status.seconds:.0f} s', style='bold')
        else:
            head.append('no episode', style='dim')
            if status.last_outcome:
                head.append(f'   last: {status.last_outcome} {status.last_path}', style='dim')
        return Group(
            head,
            self._progress(),
            Text(self.said or ' ', style='bold cyan'),
            Text(HELP, style='reverse'),
            Text(_numbers(status)),
            Text(status.message, style='yellow'),
            _topics(status),  # last: what does not fit onto a small screen is cut off
        )

    def _progress(self) -> RenderableType:
        progress = self._client.progress
        if not math.isfinite(progress):
            return Text('progress: no value yet', style='dim')
        row = Table.grid(padding=(0, 1))
        row.add_row(
            f'progress {progress:4.0%}', ProgressBar(total=1.0, completed=progress, width=40)
        )
        return row

    def _ask(self, key: str) -> None:
        client = self._client
        if key == ' ' and not client.running:
            self._pending = client.ask_start()
            self._what = lambda answer: f'started {answer.episode_id}'
        elif key == 'r':
            self._pending = client.ask_save()
            self._what = lambda answer: f'saved {answer.message}'
        elif client.running:
            outcome = OUTCOME_KEYS.get(key, 'unlabelled')
            self._pending = client.ask_end(outcome)
            self._what = lambda answer: f'ended as {outcome}: {answer.path or "not recorded"}'
        elif key in OUTCOME_KEYS:
            outcome = OUTCOME_KEYS[key]
            self._pending = client.ask_label(outcome)
            self._what = lambda answer: f'labelled {outcome}: {answer.path}'


def _numbers(status: EpisodeStatus) -> str:
    parts = [
        f'{status.written} messages',
        f'{status.dropped} dropped',
        f'{status.lost} lost',
        f'{status.free_gib:.1f} GiB free',
    ]
    if status.ring_s:
        parts.append(f'ring buffer {status.ring_s:.0f} s, {status.ring_mib:.0f} MiB')
    return '   '.join(parts)


def _topics(status: EpisodeStatus) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column('topic', overflow='fold')
    table.add_column('Hz', justify='right', no_wrap=True)
    for topic, rate in status.rates_hz.items():
        table.add_row(topic, f'{rate:.1f}', style='' if rate else 'dim')
    return table


def _pressed() -> Iterator[str]:
    """The keys pressed since the last call, without arrows and the like."""
    while select.select([sys.stdin], [], [], 0)[0]:
        data = os.read(sys.stdin.fileno(), 64)
        if not data:  # the terminal is gone
            yield 'q'
            return
        yield from _SEQUENCE.sub('', data.decode('ascii', 'ignore'))


@contextmanager
def _single_keys() -> Iterator[None]:
    """Keys arrive one by one and are not shown; Ctrl-C stays what it is."""
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)
        yield
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
