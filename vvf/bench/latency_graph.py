# SPDX-License-Identifier: Apache-2.0
"""The graph that `vvf bench latency` measures: a task's own, its cameras of any rate and size.

The arm is simulated. With cameras of any size, two `camera` nodes play a video of the simulated
scene in the place of the simulated cameras, so that decoding, transport and scaling cost what they
cost with real ones.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np

from vvf.graph import GraphArguments, build_graph
from vvf.node_spec import NodeSpec
from vvf.task import TaskSpec, load_task
from vvf.worlds import world_config, world_entry

_CLIP_FRAMES = 60
_STEPS_A_FRAME = 8


def simulated(task: str, folder: Path, arguments: GraphArguments, rate_hz: float) -> list[NodeSpec]:
    """The graph of a simulated task with its own cameras at another rate."""
    return build_graph(_at_rate(load_task(task), rate_hz, folder), arguments)


def filmed(
    task: str, folder: Path, arguments: GraphArguments, rate_hz: float, size: tuple[int, int]
) -> list[NodeSpec]:
    """The graph of a simulated task with cameras that play a video of it.

    Args:
        task: name or path of a task that can be simulated.
        folder: task files and videos are written there.
        arguments: of the graph.
        rate_hz: of each camera.
        size: width and height, pixels; a square of the larger side is at most 1024.
    """
    spec = load_task(task)
    cameras = tuple(replace(c, width=size[0], height=size[1]) for c in spec.cameras)
    seen = _at_rate(replace(spec, cameras=cameras), rate_hz, folder)
    # The simulated cameras still run, as rarely as can be and on topics that nobody listens to.
    (folder / 'quiet').mkdir()
    unseen = _at_rate(spec, 0.5, folder / 'quiet')
    graph = []
    for node in build_graph(seen, arguments):
        if node.name == 'arm':
            topics = [c.topic for c in cameras] + [f'/{c.name}/camera_info' for c in cameras]
            aside = tuple((topic, f'/unseen{topic}') for topic in topics)
            parameters = {**node.parameters, 'task': unseen}
            node = replace(node, parameters=parameters, remappings=aside)
        graph.append(node)
    films = _film(spec, folder, size, rate_hz)
    for camera in cameras:
        parameters = {
            'camera': camera.name,
            'source': 'video',
            'video': str(films[camera.name]),
            'width': size[0],
            'height': size[1],
            'rate_hz': rate_hz,
            'frame_id': camera.frame_id,
        }
        graph.append(NodeSpec('camera', f'camera_{camera.name}', parameters=parameters))
    return graph


def _at_rate(task: TaskSpec, rate_hz: float, folder: Path) -> str:
    """Write a task with other rates of its cameras; returns the file's path."""
    cameras = tuple(replace(c, rate_hz=rate_hz) for c in task.cameras)
    file = folder / f'{task.name}.yaml'
    file.write_text(replace(task, cameras=cameras).to_yaml(), 'utf-8')
    return str(file)


def _film(task: TaskSpec, folder: Path, size: tuple[int, int], rate_hz: float) -> dict[str, Path]:
    """Videos of the simulated cameras while the arm sways, by camera."""
    assert task.sim is not None
    width, height = size
    world = world_entry(task.sim).make_world(world_config(task.sim, image_size=max(size)))
    files = {c.name: folder / f'{c.name}.mp4' for c in task.cameras}
    containers = {name: av.open(str(file), 'w') for name, file in files.items()}
    streams = {}
    for name, container in containers.items():
        stream = container.add_stream('libx264', rate=max(1, round(rate_hz)))
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        stream.gop_size = 10
        streams[name] = stream
    try:
        world.reset(0)
        home = world.joints()
        home[6] = 1.0
        for i in range(_CLIP_FRAMES):
            target = home.copy()
            target[:3] += 0.2 * np.sin(2 * np.pi * i / _CLIP_FRAMES)
            world.step_physics(target, _STEPS_A_FRAME)
            for name, image in world.images().items():
                if name in streams:
                    top, left = (max(size) - height) // 2, (max(size) - width) // 2
                    part = image[top : top + height, left : left + width]
                    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(part), 'rgb24')
                    containers[name].mux(streams[name].encode(frame))
    finally:
        world.close()
    for name, container in containers.items():
        container.mux(streams[name].encode())
        container.close()
    return files
