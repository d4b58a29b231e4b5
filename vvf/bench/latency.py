# SPDX-License-Identifier: Apache-2.0
"""From an image's stamp to its value, and to the command that answers it, in the real graph.

Value, policy, episode, plot and arm node run as for `vvf up`, around a simulated arm and two
cameras at 30 Hz: of 640x480, playing a video of the scene (`--cameras video`), or the simulated
ones (`--cameras sim`). Somebody looks at plot and markers meanwhile. `stamp_to_value` and
`stamp_to_action` end when a listener has the value or the policy's action, `stamp_to_command` when
the arm hands the first command of an action to its driver. With several --rates the numbers of each
are in the list `rates` of the JSON file, and those of the first beside it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from vvf.cli.output import write_json
from vvf.errors import UserError
from vvf.graph import GraphArguments
from vvf.supervisor import Supervisor
from vvf.task import load_task

_WARM_UP_S = 3.0
_LIFECYCLE_NODES = ('value', 'policy')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vvf bench latency`."""
    parser.add_argument('--task', default='pick_place', help='a task with a simulation')
    parser.add_argument('--value', default='', metavar='DIR', help='value checkpoint [of the task]')
    parser.add_argument('--engine-device', default='auto', help='what it runs on [auto]')
    parser.add_argument('--cameras', choices=['video', 'sim'], default='video', help='[video]')
    parser.add_argument('--width', type=int, default=640, help='of the video, pixels [640]')
    parser.add_argument('--height', type=int, default=480, help='of the video, pixels [480]')
    parser.add_argument(
        '--rates',
        '--rate',
        type=float,
        nargs='+',
        default=[30.0],
        metavar='HZ',
        help='of each camera, measured one after another [30]',
    )
    parser.add_argument('--seconds', type=float, default=30.0, help='to measure for each rate [30]')
    parser.add_argument(
        '--record',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='record the episodes meanwhile [yes]',
    )
    parser.add_argument(
        '--plot', type=Path, metavar='FILE', help='save a plot of an episode as PNG'
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the numbers there too')


def run(args: argparse.Namespace) -> int:
    """Run `vvf bench latency`."""
    if not 1.0 <= args.seconds <= 3600.0:
        raise UserError('--seconds must lie between 1 and 3600.')
    if not all(1.0 <= rate <= 120.0 for rate in args.rates):
        raise UserError('--rates must lie between 1 and 120.')
    if args.width % 2 or args.height % 2 or min(args.width, args.height) < 16:
        raise UserError('--width and --height must be even and at least 16.')
    if max(args.width, args.height) > 1024:
        raise UserError('--width and --height must be at most 1024.')
    from vvf.client import refuse_second_graph

    refuse_second_graph()
    reports = []
    for rate in args.rates:
        with tempfile.TemporaryDirectory(prefix='vvf-latency-') as scratch:
            reports.append(_measure(args, Path(scratch), rate))
        _print(reports[-1])
    write_json(args.json, {**reports[0], 'rates': reports})
    return 0


def _measure(args: argparse.Namespace, folder: Path, rate_hz: float) -> dict[str, Any]:
    from vvf.bench.latency_graph import filmed, simulated
    from vvf.bench.latency_listener import Listener

    arguments = GraphArguments(
        value_model=args.value,
        engine_device=args.engine_device,
        record=args.record,
        bag_dir=str(folder / 'bags'),
    )
    if args.cameras == 'sim':
        specs = simulated(args.task, folder, arguments, rate_hz)
    else:
        size = (args.width, args.height)
        specs = filmed(args.task, folder, arguments, rate_hz, size)
    print(f'nodes: {", ".join(s.name for s in specs)}', flush=True)
    over = threading.Event()

    def say(line: str) -> None:
        if not over.is_set():  # an arm that is told to stop says so, which is nothing new
            print(line, flush=True)

    with Supervisor(specs, log=say, log_dir=folder / 'log', quiet=True) as supervisor:
        cameras = [c.name for c in load_task(args.task).cameras]
        listener = Listener(
            cameras, lambda: supervisor.failure is None, keep_plots=args.plot is not None
        )
        acting = threading.Thread(target=_act, args=(supervisor, over, args.record), daemon=True)
        acting.start()
        try:
            listener.wait(lambda: listener.episodes > 0, 'an episode', 120.0)
            listener.listen(_WARM_UP_S)
            print(f'measuring for {args.seconds:g} s ...', flush=True)
            costs = Costs({s.name: supervisor.pid(s.name) for s in specs})
            listener.begin()
            listener.listen(args.seconds)
            report = listener.report() | costs.report()
        finally:
            over.set()
            acting.join(timeout=10.0)
            listener.close()
    if args.plot:
        listener.save_plot(args.plot)
    model = next(s.parameters['model'] for s in specs if s.name == 'value')
    return {
        'value_model': Path(model).name,
        'engine_device': args.engine_device,
        'cameras': args.cameras,
        'camera_rate_hz': rate_hz,
        'recorded': args.record,
        **report,
    }


def _act(supervisor: Supervisor, over: threading.Event, record: bool) -> None:
    """Episode after episode: the policy acts, and the recorder records, only in one."""
    from vvf.client import GraphClient

    with (
        suppress(UserError),  # how `over` ends an episode that is running
        GraphClient(lambda: supervisor.failure is None and not over.is_set()) as client,
    ):
        client.wait_ready(_LIFECYCLE_NODES)
        while not over.is_set():
            client.run_episode(record=record)


@dataclass
class Costs:
    """What processes cost between being made and `report`, in shares of a core.

    Args:
        pids: process id by name.
    """

    pids: dict[str, int]
    _before: dict[str, float] = field(init=False)
    _busy: float = field(init=False)
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._before, self._busy = self._spent(), _busy_s()
        self._began = time.monotonic()

    def report(self) -> dict[str, Any]:
        """Shares of a core by node, that of the plot, and what all other programs took."""
        seconds = time.monotonic() - self._began
        now = self._spent()
        share = {n: round((now[n] - self._before[n]) / seconds, 4) for n in now}
        others = (_busy_s() - self._busy) / seconds - sum(share.values())
        nodes = {n: s for n, s in share.items() if n != 'listener'}
        return {
            'plot_cpu_share': nodes.get('plot'),
            'cpu_share': nodes,
            'listener_cpu_share': share['listener'],
            'other_cpu_share': round(max(0.0, others), 4),
            'cpus': psutil.cpu_count(),
            'load_average': round(os.getloadavg()[0], 2),
        }

    def _spent(self) -> dict[str, float]:
        spent = {}
        for name, pid in {**self.pids, 'listener': os.getpid()}.items():
            with suppress(psutil.NoSuchProcess):
                times = psutil.Process(pid).cpu_times()
                spent[name] = times.user + times.system
        return spent


def _busy_s() -> float:
    """Seconds that all cores together have worked, for whomever."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.softirq + times.irq)


def _print(report: dict[str, Any]) -> None:
    def ms(key: str) -> str:
        value = report[key]
        return '      -   ' if value is None else f'{value:7.1f} ms'

    print(f'\ncameras at {report["camera_rate_hz"]:g} Hz{"p50":>12}{"p99":>10}')
    for name in ('value', 'action', 'command'):
        keys = (f'stamp_to_{name}_ms_p50', f'stamp_to_{name}_ms_p99')
        print(f'stamp to {name:11}{ms(keys[0])}{ms(keys[1])}')
    print(f'\n{report["values"]} values of {report["frames"]} frames, {report["value_hz"]:.1f} Hz')
    shares = ', '.join(f'{name} {share:.0%}' for name, share in report['cpu_share'].items())
    print(f'share of a core: {shares}; all other programs {report["other_cpu_share"]:.0%}')
