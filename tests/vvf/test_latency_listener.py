# SPDX-License-Identifier: Apache-2.0
"""The listener of `vvf bench latency`, on real rclpy: which plot it saves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from PIL import Image as Picture
from sensor_msgs.msg import Image
from vvf_msgs.msg import EpisodeEvent

from vvf.bench.latency_listener import Listener
from vvf.errors import UserError
from vvf.images import fill_image
from vvf.nodes.common import LATCHED, stream_qos


class Plotter:
    """Publishes episodes and plots, each of another grey, to a listener."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node('plotter', context=self.context)
        qos = stream_qos(reliable=True, depth=10)
        self.plots = self.node.create_publisher(Image, '/vvf/value/plot', qos)
        self.events = self.node.create_publisher(EpisodeEvent, '/vvf/episode', LATCHED)
        self.listener = Listener(['shoulder'], lambda: True, keep_plots=True)
        self.wait(self._is_heard)

    def _is_heard(self) -> bool:
        """Both sides have found each other; until then a plot may be lost."""
        self.plots.publish(fill_image(Image(), np.zeros((2, 2, 3), np.uint8)))
        return self.listener.plots > 0

    def wait(self, done) -> None:
        self.listener.wait(done, 'the message', 15.0)

    def close(self) -> None:
        self.listener.close()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def tell(self, event: int) -> None:
        self.events.publish(EpisodeEvent(event=event, episode_id='one'))
        self.wait(lambda: self.listener.in_episode == (event == EpisodeEvent.START))

    def plot(self, *levels: int) -> None:
        for level in levels:
            before = self.listener.plots
            self.plots.publish(fill_image(Image(), np.full((2, 2, 3), level, np.uint8)))
            self.wait(lambda before=before: self.listener.plots > before)

    def saved(self, path: Path) -> int:
        self.listener.save_plot(path)
        return int(np.asarray(Picture.open(path)).mean())


@pytest.fixture
def plotter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plotter]:
    monkeypatch.setenv('ROS_DOMAIN_ID', '91')
    made = Plotter()
    yield made
    made.close()


def test_the_plot_that_is_saved_is_from_within_an_episode(plotter: Plotter, tmp_path: Path) -> None:
    file = tmp_path / 'new' / 'plot.png'
    plotter.plot(1, 2)
    with pytest.raises(UserError, match='no plot of an episode'):
        plotter.saved(file)
    plotter.tell(EpisodeEvent.START)
    plotter.plot(*range(10, 18))
    assert 13 <= plotter.saved(file) <= 16, 'of the one that runs, until one has ended'
    plotter.tell(EpisodeEvent.END)
    plotter.plot(3)
    plotter.tell(EpisodeEvent.START)
    plotter.plot(20)
    assert 13 <= plotter.saved(file) <= 16, 'the next has hardly begun'
