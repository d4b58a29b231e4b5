# SPDX-License-Identifier: Apache-2.0
"""The graph of a task as plain data: which nodes, with which parameters.

`launch/*.launch.py` turns the list into launch_ros actions, `vvf up` supervises the same list as
processes. Neither knows anything that is not written here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vvf.errors import UserError
from vvf.paths import checkpoint_path, config_path
from vvf.recording import IMAGES, RECORDERS
from vvf.task import TaskSpec, load_task

ROBOTS = ('wx250s',)
#: What a live value model can run on; int8 needs frames to be calibrated on, which a start has not.
ENGINES = ('auto', 'torch', 'openvino', 'cuda')


@dataclass(frozen=True)
class NodeSpec:
    """One process of the graph.

    Attributes:
        executable: name of the console script, and of the module under `vvf.nodes`.
        name: node name; parameters given here override those of `config/nodes/<executable>.yaml`.
        respawn: start again when it dies; nodes that hold no irreplaceable state can.
        stop_first: stopped (and waited for) before all others: what moves.
    """

    executable: str
    name: str
    package: str = 'vvf'
    namespace: str = ''
    parameters: Mapping[str, Any] = field(default_factory=dict)
    remappings: tuple[tuple[str, str], ...] = ()
    respawn: bool = True
    stop_first: bool = False

    @property
    def parameter_file(self) -> Path:
        """The commented defaults of this kind of node."""
        return config_path('nodes', f'{self.executable}.yaml')


@dataclass(frozen=True)
class GraphArguments:
    """What `ros2 launch vvf <task>.launch.py` and `vvf up <task>` both take.

    Every description is shown by `--show-args` and by `--help`.
    """

    robot: str = ''
    sim: bool = True
    value_model: str = ''
    engine_device: str = 'auto'
    policy: str = ''
    record: bool = True
    rviz: bool = False
    dry_run: bool = False
    bag_dir: str = 'runs/bags'
    recorder: str = 'vvf'
    images: str = 'raw'
    ring_seconds: float = 0.0
    seed: int = 0


# Numbers of a displacement and the gripper.
_ONE_ARM = 7

ARGUMENT_HELP = {
    'robot': 'arm to drive, a file of config/robots (default: the one of the task file)',
    'sim': 'true: a MuJoCo robot takes the place of arm and cameras',
    'value_model': 'folder of the value checkpoint (default: the one of the task file)',
    'engine_device': f'what the value model runs on: {", ".join(ENGINES)}',
    'policy': 'folder of the policy checkpoint; "none" starts no policy',
    'record': 'true: one bag for each episode, in bag_dir',
    'rviz': 'true: open rviz2 with the view of the task',
    'dry_run': 'true: actions are published and plotted, the arm does not move',
    'bag_dir': 'folder that the episodes are recorded to',
    'recorder': 'vvf, or rosbag2 for `ros2 bag record` where it is installed',
    'images': 'raw, or compressed: every camera is recorded as JPEG',
    'ring_seconds': 'keep so many seconds in memory, for `vvf episode save`; 0: none',
    'seed': 'seed of the first simulated layout; each episode takes the next one',
}


def build_graph(task: str, arguments: GraphArguments | None = None) -> list[NodeSpec]:
    """The nodes of a task.

    Raises:
        UserError: the task, the robot, a checkpoint or the engine does not exist, or the task
            cannot be simulated.
    """
    a = arguments or GraphArguments()
    spec = load_task(task)
    robot = a.robot or spec.robot
    if robot not in ROBOTS:
        raise UserError(f'there is no robot {robot!r}; known: {", ".join(ROBOTS)}.')
    if spec.action is not None and spec.action.kind == 'ee_delta' and spec.action.dim > _ONE_ARM:
        raise UserError(
            f'{task} is for two arms, and the graph drives one in this version: collect, view and '
            'replay its episodes.'
        )
    if not a.sim:
        raise UserError(
            'only the simulated arm has a driver in this version; start with sim:=true '
            '(--sim true).'
        )
    for name, given, known in (
        ('recorder', a.recorder, RECORDERS),
        ('images', a.images, IMAGES),
        ('engine_device', a.engine_device, ENGINES),
    ):
        _check_choice(name, given, known)
    value_model = _checkpoint(a.value_model or spec.models.value, 'value_model')
    policy = '' if a.policy == 'none' else _checkpoint(a.policy or spec.models.policy, 'policy')
    common = {'task': task}
    nodes = [
        NodeSpec(
            'arm',
            'arm',
            parameters={
                **common,
                'robot': robot,
                'driver': 'sim',
                'dry_run': a.dry_run,
                'seed': a.seed,
                'watch_value': bool(policy),
                'watch_recorder': a.record,
            },
            respawn=False,
            stop_first=True,
        ),
        NodeSpec(
            'value',
            'value',
            parameters={**common, 'model': value_model, 'engine': a.engine_device},
        ),
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
                'robot': robot,
                'value_model': value_model,
                'policy': policy,
            },
        ),
        NodeSpec('plot', 'plot', parameters=common),
    ]
    if policy:
        nodes.insert(2, NodeSpec('policy', 'policy', parameters={**common, 'model': policy}))
    if a.rviz:
        nodes.append(_rviz(spec))
    return nodes


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
        *([_rviz(spec)] if rviz else []),
    ]


def _check_choice(name: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise UserError(f'{name}: choose {" or ".join(known)}, not {given!r}.')


def _rviz(spec: TaskSpec) -> NodeSpec:
    view = config_path('rviz', f'{spec.name}.rviz')
    if not view.is_file():
        raise UserError(
            f'rviz: there is no view {view}; copy that of another task and change its cameras.'
        )
    return NodeSpec(
        'rviz2',
        'rviz2',
        package='rviz2',
        parameters={'config': str(view)},
        respawn=False,
    )


def _checkpoint(name: str, argument: str) -> str:
    path = checkpoint_path(name)
    if path is None:
        raise UserError(
            f'{argument}: there is no checkpoint folder {name!r}; train one with `vvf train` '
            'or make the demo ones with `make train-demo`.'
        )
    return str(path)
