# SPDX-License-Identifier: Apache-2.0
"""The screen of `vvf teleop`: keys to the `teleop` node, and what it says."""

from __future__ import annotations

import time
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticStatus
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vvf.episode_client import EpisodeClient, EpisodeStatus
from vvf.episode_keys import episode_line, progress_line
from vvf.errors import UserError
from vvf.teleop.commands import KEYS_TOPIC, STATUS_TOPIC, Command
from vvf.teleop.keyboard import COMMAND_KEYS
from vvf.terminal import pressed, single_keys

HELP = (
    ('drive', 'arrows x y   PgUp/PgDn or k/j z   1 2 roll   3 4 pitch   5 6 yaw   + - speed'),
    ('hands', 'i take over / give back   g gripper   tab other arm   l leader'),
    ('episode', 'space start/stop   s success   f failure   a abort   r save ring buffer'),
    ('safety', 'esc STOP   U reset   H home   C clear a fault   q quit'),
)
_DRAW_S = 0.1
_BEAT_S = 0.1
_SILENT_S = 1.5
_LOOK_FOR_S = 10.0
_STYLES = {'human': 'bold white on blue', 'policy': 'bold white on green', 'nobody': 'dim'}


class TeleopClient(EpisodeClient):
    """Sends keys, and hears how the `teleop` node does; a context manager.

    Attributes:
        teleop: the node's newest report by key; empty before the first.
        told_s: when it came, on the monotonic clock.
    """

    def __init__(self, domain: int | None = None) -> None:
        super().__init__(domain)
        self.teleop: dict[str, str] = {}
        self.told_s = -float('inf')

    def opened(self) -> None:
        """See `OwnNode`."""
        super().opened()
        self._keys = self._node.create_publisher(Header, KEYS_TOPIC, 50)
        self._node.create_subscription(DiagnosticStatus, STATUS_TOPIC, self._on_teleop, 10)
        self._stop = self._node.create_client(Trigger, '/vvf/estop')

    def wait_for_teleop(
        self, alive: Callable[[], bool] = lambda: True, timeout_s: float = _LOOK_FOR_S
    ) -> None:
        """Wait until the `teleop` node reports and hears keys.

        Args:
            alive: whether it still runs, where this process has started it.
            timeout_s: longest wait.

        Raises:
            UserError: there is none, or it ended.
        """

        def heard() -> bool:
            return not alive() or bool(self.teleop and self._keys.get_subscription_count())

        if not self._until(heard, timeout_s):
            raise UserError(
                'no teleop node runs: start the graph with `vvf up TASK --teleop keyboard`, or '
                'name the task, `vvf teleop --task TASK`.'
            )
        if not alive():
            raise UserError('the teleop node ended; its last lines above say why.')

    def refuse_second(self, look_for_s: float = 1.5) -> None:
        """Make sure that no `teleop` node runs.

        Raises:
            UserError: one does.
        """
        if self._until(lambda: bool(self.teleop), look_for_s):
            raise UserError('a teleop node runs already: leave --task out.')

    def send(self, key: str) -> None:
        """Send a key by its name; '' says that the terminal is there."""
        stamp = self._node.get_clock().now().to_msg()
        self._keys.publish(Header(stamp=stamp, frame_id=key))
        if COMMAND_KEYS.get(key) is Command.STOP and self._stop.service_is_ready():
            # Not by way of the teleop node alone: it may be what went wrong.
            self._stop.call_async(Trigger.Request())

    def _on_teleop(self, message: DiagnosticStatus) -> None:
        self.teleop = {v.key: v.value for v in message.values}
        self.told_s = time.monotonic()


class Screen:
    """What is shown, and what `q` does.

    Attributes:
        done: whether it is over.
    """

    def __init__(self, client: TeleopClient) -> None:
        self.done = False
        self._client = client
        self._note = ''

    def press(self, key: str) -> None:
        """Send a key, or quit."""
        if key != 'q':
            self._note = ''
            self._client.send(key)
        elif self._client.teleop.get('drives') == 'human' and not self._note:
            self._note = 'you have the arm: i gives it back; q again leaves it held'
        else:
            self.done = True

    def draw(self) -> RenderableType:
        """The whole screen."""
        client, told = self._client, self._client.teleop
        silent = time.monotonic() - client.told_s > _SILENT_S
        warning = 'the teleop node is silent' if silent else told.get('warning', '')
        status = client.status or EpisodeStatus()
        keys = Table.grid(padding=(0, 2))
        for name, line in HELP:
            keys.add_row(Text(name, style='dim'), line)
        return Group(
            episode_line(client),
            progress_line(client.progress),
            Text(),
            _hands(told),
            _devices(told),
            Text(),
            Text(self._note or told.get('said') or ' ', style='bold cyan'),
            Text(warning or ' ', style='bold red'),
            keys,
            Text(status.message, style='yellow'),
        )


def run_screen(client: TeleopClient, alive: Callable[[], bool] = lambda: True) -> None:
    """Show how it goes and send keys until `q`.

    Args:
        client: opened.
        alive: whether the `teleop` node still runs, where this process has started it.

    Raises:
        UserError: no `teleop` node runs, or it ended.
    """
    client.wait_for_teleop(alive)
    screen, console = Screen(client), Console()
    drawn = beaten = 0.0
    with single_keys(), Live(console=console, screen=True, auto_refresh=False) as live:
        while not screen.done and alive():
            client.spin(0.02)
            for key in pressed():
                screen.press(key)
            now = time.monotonic()
            if now - beaten > _BEAT_S:
                client.send('')
                beaten = now
            if now - drawn > _DRAW_S:
                live.update(screen.draw(), refresh=True)
                drawn = now
    if client.teleop.get('drives') == 'human':
        console.print('a human has the arm: it holds until `vvf teleop`, i, gives it back')
    if client.running:
        console.print(f'episode {client.running} goes on', highlight=False)
    if not screen.done:  # what the node said last went with the screen
        raise UserError('the teleop node ended: runs/log/teleop.log says why.')


def _hands(told: dict[str, str]) -> Text:
    """Who drives what, how."""
    drives = told.get('drives', 'nobody')
    line = Text()
    line.append(f' {drives.upper()} ', style=_STYLES.get(drives, ''))
    line.append(f' {"drives" if drives != "nobody" else "drives: i takes over"}', style='bold')
    if side := told.get('side'):
        line.append(f'   {side} arm', style='bold magenta')
    line.append(f'   speed {float(told.get("speed", 0)):.0%}   gripper {told.get("gripper", "?")}')
    if state := told.get('arm'):
        well = state.startswith(('running', 'holding'))
        line.append(f'   arm {state}', style='' if well else 'bold red')
    return line


def _devices(told: dict[str, str]) -> Text:
    """What is heard of gamepad and leader."""
    line = Text('keyboard', style='dim')
    for device, on, yes, no in (
        ('gamepad', 'deadman', 'deadman held', 'deadman let go'),
        ('leader', 'engaged', 'engaged', 'released'),
    ):
        if device not in told:
            continue
        if told[device] != 'True':
            line.append(f'   {device} silent', style='bold red')
        else:
            line.append(f'   {device} {yes if told.get(on) == "True" else no}')
    return line
