# SPDX-License-Identifier: Apache-2.0
"""The graph of a task as plain data: which nodes, with which parameters.

`launch/*.launch.py` turns the list into launch_ros actions, `vvf up` supervises the same list as
processes. Neither knows anything that is not written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vvf.errors import UserError
from vvf.node_parameters import with_file
from vvf.node_spec import NodeSpec
from vvf.paths import checkpoint_path, config_path, share
from vvf.recording import IMAGES, RECORDERS
from vvf.rig import RigSpec, load_rig
from vvf.task import TaskSpec, load_task
from vvf.task_overlay import sides_of

#: What a live value model can run on; int8 needs frames to be calibrated on, which a start has not.
ENGINES = ('auto', 'torch', 'openvino', 'cuda')


@dataclass(frozen=True)
class GraphArguments:
    """What `ros2 launch vvf <task>.launch.py` and `vvf up <task>` both take.

    Every description is shown by `--show-args` and by `--help`.
    """

    robot: str = ''
    sim: bool = True
    rig: str = ''
    use_fake_hardware: bool = False
    bringup: bool = True
    value_model: str = ''
    engine_device: str = 'auto'
    policy: str = ''
    policy_node: bool = True
    teleop: str = 'none'
    moveit: bool = False
    record: bool = True
    rviz: bool = False
    dry_run: bool = False
    bag_dir: str = 'runs/bags'
    recorder: str = 'vvf'
    images: str = 'raw'
    ring_seconds: float = 0.0
    seed: int = 0
    params_file: str = ''


#: What a rig says of a camera, and the camera node takes as it is.
_DEVICE_KEYS = (*('device', 'video', 'calibration', 'pixel_format', 'controls', 'width', 'height'),)

TELEOP = ('none', 'keyboard', 'gamepad', 'leader')

ARGUMENT_HELP = {
    'robot': 'arm to drive, a file of config/robots (default: the one of the task file)',
    'sim': 'true: a MuJoCo robot takes the place of arm and cameras; false: the table of rig',
    'rig': 'the real table: a file of config/rigs or a path (default: the one named after robot)',
    'use_fake_hardware': "true: the vendor's own driver simulates its arm, where it can",
    'bringup': "ros2 launch, sim false: start the drivers of the rig's vendors, too",
    'value_model': 'folder of the value checkpoint (default: the one of the task file); '
    '"none" starts no value node',
    'engine_device': f'what the value model runs on: {", ".join(ENGINES)}',
    'policy': 'folder of the policy checkpoint (default: the one of the task file); '
    '"none" starts no policy',
    'policy_node': 'false: the policy runs elsewhere, in a process or on a host of its own',
    'teleop': f'what a human takes over with: {", ".join(TELEOP)}',
    'moveit': 'true: home moves are planned around obstacles by MoveIt, where it is installed',
    'record': 'true: one bag for each episode, in bag_dir',
    'rviz': 'true: open rviz2 with the view of the task',
    'dry_run': 'true: actions are published and plotted, the arm does not move',
    'bag_dir': 'folder that the episodes are recorded to',
    'recorder': 'vvf, or rosbag2 for `ros2 bag record` where it is installed',
    'images': 'raw, or compressed: every camera is recorded as JPEG',
    'ring_seconds': 'keep so many seconds in memory, for `vvf episode save`; 0: none',
    'seed': 'seed of the first simulated layout; each episode takes the next one',
    'params_file': 'ROS parameter file, for any of the nodes; it precedes config/nodes',
}


def build_graph(task: str, arguments: GraphArguments | None = None) -> list[NodeSpec]:
    """The nodes of a task.

    Without a checkpoint of the task's or the arguments' the value or policy node is left out: the
    first episodes on a new robot are recorded before there is any.

    Raises:
        UserError: the task, the robot, the rig, a checkpoint, the engine or a parameter does not
            exist, they do not fit together, or the task cannot be simulated.
    """
    a = arguments or GraphArguments()
    for name, given, known in (
        ('recorder', a.recorder, RECORDERS),
        ('images', a.images, IMAGES),
        ('engine_device', a.engine_device, ENGINES),
        ('teleop', a.teleop, TELEOP),
    ):
        _check_choice(name, given, known)
    rig_name = rig_of(task, a)
    spec = load_task(task, a.robot, rig_name)
    if a.sim and spec.sim is None:
        raise UserError(f'task {spec.name} has no sim entry: start it with sim:=false and a rig.')
    value_model = _model(a.value_model, spec.models.value, 'value_model')
    policy = _model(a.policy, spec.models.policy, 'policy')
    common = {'task': task, 'robot': spec.robot, 'rig': rig_name}
    nodes = [
        *_cameras(spec, rig_name),
        NodeSpec(
            'arm',
            'arm',
            parameters={
                **common,
                'dry_run': a.dry_run,
                'seed': a.seed,
                'watch_value': bool(policy and value_model),
                'watch_recorder': a.record,
                'moveit': a.moveit,
            },
            respawn=False,
            stop_first=True,
        ),
    ]
    if value_model:
        parameters = {**common, 'model': value_model, 'engine': a.engine_device}
        nodes.append(NodeSpec('value', 'value', parameters=parameters))
    if policy and a.policy_node:
        nodes.append(NodeSpec('policy', 'policy', parameters={**common, 'model': policy}))
    nodes.append(
        NodeSpec(
            'episode',
            'episode',
            parameters={
                **common,
                'record': a.record,
                'dry_run': a.dry_run,
                'directory': str(Path(a.bag_dir).absolute()),
                'recorder': a.recorder,
                'images': a.images,
                'ring_seconds': float(a.ring_seconds),
                'value_model': value_model,
                'policy': policy,
            },
        )
    )
    if value_model:
        nodes.append(NodeSpec('plot', 'plot', parameters=common))
    if a.teleop != 'none':
        nodes.append(NodeSpec('teleop', 'teleop', parameters={**common, 'source': a.teleop}))
    if a.moveit:
        nodes.append(NodeSpec('moveit', 'moveit', parameters=common))
    if a.rviz:
        nodes.append(_rviz(spec, task))
    return with_file(nodes, Path(a.params_file)) if a.params_file else nodes


def rig_of(task: str, arguments: GraphArguments) -> str:
    """The rig that a graph runs on: '' in simulation, else the given one, or the robot's.

    Raises:
        UserError: a rig or fake hardware is given for a simulation.
    """
    if arguments.sim:
        if arguments.rig or arguments.use_fake_hardware:
            raise UserError('rig and use_fake_hardware are for a real table: give sim:=false, too.')
        return ''
    if arguments.rig:
        return arguments.rig
    spec = load_task(task)
    pair = '_pair' if len(sides_of(spec)) > 1 else ''
    return f'{arguments.robot or spec.robot}{pair}'


def _cameras(spec: TaskSpec, rig_name: str) -> list[NodeSpec]:
    """A camera node for each camera of the rig that no other driver publishes."""
    rig: RigSpec | None = load_rig(rig_name) if rig_name else None
    nodes = []
    for camera in spec.cameras if rig else ():
        assert rig is not None
        real = rig.cameras[camera.name]
        if real.source == 'topic':
            continue
        parameters: dict[str, Any] = {
            'camera': camera.topic.strip('/').rsplit('/', 1)[0],
            'source': real.source,
            'frame_id': camera.frame_id,
            'rate_hz': float(camera.rate_hz),
        }
        for key in _DEVICE_KEYS:
            if value := getattr(real, key):
                parameters[key] = _calibration(value) if key == 'calibration' else value
        nodes.append(NodeSpec('camera', f'camera_{camera.name}', parameters=parameters))
    return nodes


def _calibration(name: str) -> str:
    """A calibration file by path, or as `<rig>/<camera>.yaml` below `calibration/`."""
    for candidate in (Path(name), share() / name, share() / 'calibration' / name):
        if candidate.is_file():
            return str(candidate.absolute())
    raise UserError(f'there is no calibration {name}: make it with `vvf calibrate intrinsics`.')


def build_replay_graph(
    bag: Path,
    task: str,
    *,
    value_model: str = '',
    engine_device: str = 'auto',
    bag_dir: str = 'runs/replay',
    rate: float = 1.0,
    record: bool = True,
    rviz: bool = False,
) -> list[NodeSpec]:
    """A recorded bag in the place of robot and cameras: the same value, episode and plot nodes.

    Raises:
        UserError: there is no such task, checkpoint or engine.
    """
    _check_choice('engine_device', engine_device, ENGINES)
    spec = load_task(task)
    model = _checkpoint(value_model or spec.models.value, 'value_model')
    common = {'task': task}
    # A replay is not a robot: nothing is lost by waiting, so no frame may be dropped on the way.
    lossless = {'reliable': True, 'queue_depth': 1000}
    return [
        NodeSpec(
            'value',
            'value',
            parameters={**common, 'model': model, 'engine': engine_device, **lossless},
        ),
        NodeSpec('plot', 'plot', parameters=common),
        NodeSpec(
            'episode',
            'episode',
            parameters={
                **common,
                'record': record,
                'directory': str(Path(bag_dir).absolute()),
                'value_model': model,
                'prepare_arm': False,
                **lossless,
            },
        ),
        NodeSpec(
            'replay',
            'replay',
            parameters={'bag': str(bag), **common, 'rate': float(rate), 'episode': record},
            respawn=False,
        ),
        *([_rviz(spec, task)] if rviz else []),
    ]


def _check_choice(name: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise UserError(f'{name}: choose {" or ".join(known)}, not {given!r}.')


def _rviz(spec: TaskSpec, task: str) -> NodeSpec:
    view = config_path('rviz', f'{spec.name}.rviz')
    if not view.is_file():
        raise UserError(
            f'rviz: there is no view {view}; copy that of another task and change its cameras.'
        )
    # The view names the topics of the task file; on a rig the drivers' may be others.
    listed = {camera.name: camera.topic for camera in load_task(task).cameras}
    moved = [(listed[c.name], c.topic) for c in spec.cameras if c.topic != listed[c.name]]
    return NodeSpec(
        'rviz2',
        'rviz2',
        package='rviz2',
        parameters={'config': str(view)},
        remappings=tuple(moved),
        respawn=False,
    )


def _model(given: str, default: str, argument: str) -> str:
    """The folder of a checkpoint, or '' where none is wanted."""
    if given == 'none' or not (given or default):
        return ''
    return _checkpoint(given or default, argument)


def _checkpoint(name: str, argument: str) -> str:
    path = checkpoint_path(name)
    if path is None:
        raise UserError(
            f'{argument}: there is no checkpoint folder {name!r}; train one with `vvf train` '
            'or make the demo ones with `make train-demo`.'
        )
    return str(path)
