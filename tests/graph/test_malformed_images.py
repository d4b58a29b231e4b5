# SPDX-License-Identifier: Apache-2.0
"""An image whose data is shorter than its header claims is refused, and the next one is scored."""

from __future__ import annotations

from array import array

import numpy as np
import pytest
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from vvf.images import fill_image
from vvf.node_spec import NodeSpec

from .conftest import Probe


@pytest.fixture
def task(tmp_path) -> str:
    """One raw camera and no state: what the checkpoint of the real WidowX takes."""
    file = tmp_path / 'one_camera.yaml'
    file.write_text(
        'name: one_camera\ninstruction: look\nrobot: none\nrate_hz: 5\n'
        'cameras:\n  - {name: image_0, topic: /image_0/image_raw}\n'
        'models: {value: checkpoints/icvf_bridge}\n'
    )
    return str(file)


def test_short_data_is_refused_in_one_line(task: str, start, probe: Probe) -> None:
    value = NodeSpec(
        'value', 'value', parameters={'task': task, 'model': 'checkpoints/icvf_bridge'}
    )
    graph = start([value])
    camera = probe.node.create_publisher(Image, '/image_0/image_raw', qos_profile_sensor_data)

    def publish(*, cut: int = 0) -> None:
        message = fill_image(Image(), np.full((48, 64, 3), 90, np.uint8))
        message.header.stamp = probe.node.get_clock().now().to_msg()
        if cut:
            message.data = array('B', bytes(message.data)[:-cut])
        camera.publish(message)
        probe.spin(0.1)

    def warmed_up() -> bool:
        publish()
        return bool(probe.values)

    probe.wait(lambda: camera.get_subscription_count() > 0, 'the value node listens')
    probe.wait(warmed_up, 'a good image is scored')
    probe.spin(0.5)
    probe.values.clear()
    for _ in range(5):
        publish(cut=1000)
    assert not probe.values
    assert len(graph.lines_with('[WARN]', 'frame refused')) == 1
    counted = 'refused_malformed:image_0'
    probe.wait(lambda: probe.diagnostics['/value'].get(counted) == '5', 'counted')
    publish()
    probe.wait(lambda: len(probe.values) == 1, 'the next good image is scored')
