# SPDX-License-Identifier: Apache-2.0
"""The node with which `vvf bench latency` listens to a graph."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from PIL import Image as Picture
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image
from visualization_msgs.msg import MarkerArray
from vvf_msgs.msg import Action, EpisodeEvent, ValueEstimate

from vvf.errors import UserError
from vvf.images import to_rgb
from vvf.nodes.common import LATCHED, seconds, stream_qos

_MIDDLE = 0.75  # part of an episode that has passed in the plot that is saved


class Listener:
    """A node of this process that takes down when things arrive.

    Args:
        cameras: their names, the reference first.
        alive: says whether the graph still runs.
        keep_plots: keep the plots of the running episode, for `save_plot`.

    Attributes:
        episodes: how many have begun.
        in_episode: whether one runs.
    """

    def __init__(
        self, cameras: Sequence[str], alive: Callable[[], bool], *, keep_plots: bool = False
    ) -> None:
        self._alive = alive
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node('vvf_bench', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self.episodes = 0
        self._counts: Counter[str] = Counter()
        self._late: dict[str, list[float]] = {'value': [], 'action': []}
        self._stamps: dict[str, list[float]] = {name: [] for name in cameras}
        self._arm: dict[str, float] = {}
        self._keep_plots = keep_plots
        self.in_episode = False
        self._plots: list[Any] = []  # of the running episode
        self._chosen_plot: Any = None
        self._began = time.monotonic()
        create, qos = self._node.create_subscription, stream_qos(depth=50)
        for kind, topic in ((ValueEstimate, 'value'), (Action, 'action')):
            create(kind, f'/vvf/{topic}', lambda m, late=self._late[topic]: _arrive(m, late), qos)
        create(Image, '/vvf/value/plot', self._on_plot, stream_qos())
        create(MarkerArray, '/vvf/value/markers', self._on_markers, 2)
        create(EpisodeEvent, '/vvf/episode', self._on_event, LATCHED)
        create(DiagnosticArray, '/diagnostics', self._on_diagnostics, 50)
        for name in self._stamps:
            create(
                CameraInfo,
                f'/{name}/camera_info',
                lambda message, name=name: self._stamps[name].append(seconds(message.header.stamp)),
                qos,
            )

    def close(self) -> None:
        """Leave the graph."""
        self._executor.remove_node(self._node)
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def wait(self, done: Callable[[], bool], what: str, patience_s: float) -> None:
        """Listen until something has happened.

        Raises:
            UserError: the graph stopped, or patience is at an end.
        """
        end = time.monotonic() + patience_s
        while not done():
            if not self._alive():
                raise UserError('the graph stopped; its lines above say why.')
            if time.monotonic() > end:
                raise UserError(f'{what} did not come within {patience_s:g} s.')
            self._executor.spin_once(timeout_sec=0.1)

    def listen(self, duration_s: float) -> None:
        """Listen for a while."""
        end = time.monotonic() + duration_s
        self.wait(lambda: time.monotonic() >= end, 'the end', duration_s + 60.0)

    def begin(self) -> None:
        """Count from now on."""
        for late in self._late.values():
            late.clear()
        self._counts.clear()
        for stamps in self._stamps.values():
            stamps.clear()
        self._began = time.monotonic()

    def report(self) -> dict[str, Any]:
        """What was heard since `begin`."""
        lasted = time.monotonic() - self._began
        frames = len(next(iter(self._stamps.values())))
        value, action = (_percentiles(np.array(late)) for late in self._late.values())
        return {
            'seconds': round(lasted, 2),
            'frames': frames,
            'values': len(self._late['value']),
            'value_hz': round(len(self._late['value']) / lasted, 2),
            'plot_hz': round(self._counts['plot'] / lasted, 2),
            'markers_hz': round(self._counts['markers'] / lasted, 2),
            'camera_offset_ms': self._offset_ms(),
            'actions': len(self._late['action']),
            'stamp_to_value_ms_p50': value[0],
            'stamp_to_value_ms_p99': value[1],
            'stamp_to_action_ms_p50': action[0],
            'stamp_to_action_ms_p99': action[1],
            'stamp_to_command_ms_p50': self._arm.get('image_to_command_ms_p50'),
            'stamp_to_command_ms_p99': self._arm.get('image_to_command_ms_p99'),
        }

    def save_plot(self, path: Path) -> None:
        """Save a plot from within an episode, with most of it already passed.

        It is of the last episode that ended, or else of the one that runs.

        Raises:
            UserError: no plot was kept.
        """
        message = self._chosen_plot or _within(self._plots)
        if message is None:
            raise UserError('no plot of an episode came: is the plot node running?')
        path.parent.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(to_rgb(message)).save(path, 'png', optimize=True)

    @property
    def plots(self) -> int:
        """How many plots came since `begin`."""
        return self._counts['plot']

    def _offset_ms(self) -> float | None:
        """How far the second camera is behind the first: what a frame may have to wait."""
        stamps = [np.array(s) for s in self._stamps.values()]
        if len(stamps) < 2 or not all(map(len, stamps)):
            return None
        first, second = stamps[:2]
        after = np.searchsorted(second, first)
        known = after < len(second)
        return round(float(np.median(second[after[known]] - first[known])) * 1e3, 2)

    def _on_plot(self, message: Any) -> None:
        self._counts['plot'] += 1
        if self._keep_plots and self.in_episode:
            self._plots.append(message)

    def _on_markers(self, message: Any) -> None:
        self._counts['markers'] += 1

    def _on_event(self, event: Any) -> None:
        if event.event == EpisodeEvent.START:
            self.episodes += 1
            self.in_episode = True
        elif event.event == EpisodeEvent.END:
            self.in_episode = False
            self._chosen_plot = _within(self._plots) or self._chosen_plot
            self._plots.clear()

    def _on_diagnostics(self, message: Any) -> None:
        for status in message.status:
            if status.name == '/arm':
                found = {v.key: float(v.value) for v in status.values if '_ms_' in v.key}
                self._arm = {k: v for k, v in found.items() if np.isfinite(v)}


def _arrive(message: Any, late: list[float]) -> None:
    late.append((time.time() - seconds(message.header.stamp)) * 1e3)


def _within(plots: Sequence[Any]) -> Any:
    """The plot of those of an episode that is to be saved; None where there is none."""
    return plots[int(_MIDDLE * len(plots))] if plots else None


def _percentiles(values: npt.NDArray[np.float64]) -> tuple[float | None, float | None]:
    if not values.size:
        return None, None
    p50, p99 = np.percentile(values, [50, 99]).round(2).tolist()
    return p50, p99
