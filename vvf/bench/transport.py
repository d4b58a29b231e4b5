# SPDX-License-Identifier: Apache-2.0
"""Two cameras of 640x480 RGB at 30 Hz in one process, a subscriber in another: what arrives?

Best-effort sensor-data QoS. The clock runs from the moment when both sides have found each other.
Measured with the shipped Fast DDS profile and, beside it, with the defaults of Fast DDS.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from vvf.bench.children import child
from vvf.environment import ros_environment
from vvf.errors import UserError

_PROFILES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
_CAMERAS = 'vvf.bench.cameras'
_DISCOVERY_S = 20.0
#: With the defaults so little arrives that a camera may never be seen: then count all the same.
_PATIENCE_S = 8.0
_LAST_FRAMES_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vvf bench transport`."""
    parser.add_argument('--seconds', type=float, default=10.0, help='how long to send [10]')
    parser.add_argument(
        '--baseline',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='measure the defaults of Fast DDS too [yes]',
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the numbers there too')


def run(args: argparse.Namespace) -> int:
    """Run `vvf bench transport`."""
    if not 0.1 <= args.seconds <= 3600.0:
        raise UserError('--seconds must lie between 0.1 and 3600.')
    rows = {'profile': measure(args.seconds, profile=True)}
    if args.baseline:
        rows['Fast DDS defaults'] = measure(args.seconds, profile=False)
    _print_table(rows)
    if args.json:
        report: dict[str, Any] = dict(rows['profile'])
        if args.baseline:
            report['baseline'] = rows['Fast DDS defaults']
        try:
            args.json.write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
        except OSError as error:
            raise UserError(f'cannot write {args.json}: {error.strerror}.') from error
    return 0


def measure(seconds: float, *, profile: bool) -> dict[str, float | None]:
    """Send images for a while and count what arrives.

    Args:
        seconds: how long to send, from discovery on.
        profile: with the profile that `ros_environment` names, or with Fast DDS's defaults.

    Returns:
        sent, received, delivered_fraction, latency_ms_p50, latency_ms_p99 (`None` where
        nothing arrived).

    Raises:
        UserError: the two processes did not find each other, or one of them died.
    """
    env = ros_environment()
    if not profile:
        for name in _PROFILES:
            env.pop(name, None)
    namespace = f'vvf_bench_{os.getpid()}'
    title = 'with the profile' if profile else 'with the defaults'
    with (
        child(_CAMERAS, ['receive', namespace, str(_PATIENCE_S)], env) as receiver,
        child(_CAMERAS, ['publish', namespace, str(seconds)], env) as publisher,
    ):
        publisher.answer(_DISCOVERY_S)
        receiver.answer(_PATIENCE_S + _DISCOVERY_S)
        publisher.go_on()
        print(f'{title}: sending for {seconds:g} s ...', flush=True)
        sent = json.loads(publisher.answer(2 * seconds + _DISCOVERY_S))['sent']
        time.sleep(_LAST_FRAMES_S)
        receiver.go_on()
        latency = np.array(json.loads(receiver.answer(_DISCOVERY_S))['latency_ms'])
    p50, p99 = np.percentile(latency, [50, 99]).round(3).tolist() if latency.size else (None, None)
    return {
        'sent': sent,
        'received': latency.size,
        'delivered_fraction': latency.size / sent,
        'latency_ms_p50': p50,
        'latency_ms_p99': p99,
    }


def _print_table(rows: dict[str, dict[str, float | None]]) -> None:
    print(f'\n{"":18}{"sent":>7}{"received":>10}{"delivered":>11}{"p50":>10}{"p99":>10}')
    for name, row in rows.items():
        late = (row['latency_ms_p50'], row['latency_ms_p99'])
        shown = ''.join('         -' if ms is None else f'{ms:>7.1f} ms' for ms in late)
        delivered = f'{row["delivered_fraction"]:>11.1%}'
        print(f'{name:18}{row["sent"]:>7}{row["received"]:>10}{delivered}{shown}')
