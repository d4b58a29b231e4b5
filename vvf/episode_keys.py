# SPDX-License-Identifier: Apache-2.0
"""Episodes by the keys of a terminal: start, stop, judge, save, and see what is recorded."""

from __future__ import annotations

import math
import sys
import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vvf.episode_client import EpisodeClient, EpisodeStatus
from vvf.episode_requests import EpisodeKeys
from vvf.errors import UserError
from vvf.terminal import pressed, single_keys

HELP = 'space start/stop   s success   f failure   a abort   r save ring buffer   q quit'
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
    with single_keys(), Live(console=console, screen=True, auto_refresh=False) as live:
        drawn = 0.0
        while not desk.done:
            client.spin(0.05)
            desk.look_at_answer()
            for key in pressed():
                desk.press(key)
            if time.monotonic() - drawn > _DRAW_S:
                live.update(desk.draw(), refresh=True)
                drawn = time.monotonic()
    console.print(desk.said or 'nothing was changed', highlight=False)
    if client.running:
        console.print(f'episode {client.running} goes on', highlight=False)


class Desk(EpisodeKeys):
    """What keys do, and what is shown.

    Attributes:
        done: whether it is over.
    """

    def __init__(self, client: EpisodeClient) -> None:
        super().__init__(client)
        self.done = False
        self._client = client

    def press(self, key: str) -> None:
        """Obey one key; others than those of `HELP` do nothing."""
        if key == 'q':
            self.done = True
        else:
            super().press(key)

    def draw(self) -> RenderableType:
        """The whole screen."""
        status = self._client.status or EpisodeStatus(message='waiting for the first report')
        return Group(
            episode_line(self._client),
            progress_line(self._client.progress),
            Text(self.said or ' ', style='bold cyan'),
            Text(HELP, style='reverse'),
            Text(_numbers(status)),
            Text(status.message, style='yellow'),
            _topics(status),  # last: what does not fit onto a small screen is cut off
        )


def episode_line(client: EpisodeClient) -> Text:
    """Which episode runs, or ran last."""
    silent = time.monotonic() - client.heard_s > _SILENT_S
    status = client.status or EpisodeStatus()
    head = Text()
    if silent:
        head.append('the episode node is silent', style='bold red')
    elif client.running:
        head.append('● ', style='bold red')
        head.append(f'{client.running}   {status.seconds:.0f} s', style='bold')
    else:
        head.append('no episode', style='dim')
        if status.last_outcome:
            head.append(f'   last: {status.last_outcome} {status.last_path}', style='dim')
    return head


def progress_line(progress: float) -> RenderableType:
    """The newest progress as a bar; NaN before the first."""
    if not math.isfinite(progress):
        return Text('progress: no value yet', style='dim')
    row = Table.grid(padding=(0, 1))
    row.add_row(f'progress {progress:4.0%}', ProgressBar(total=1.0, completed=progress, width=40))
    return row


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
