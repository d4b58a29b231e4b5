# SPDX-License-Identifier: Apache-2.0
"""`vvf calibrate check`: the robot is drawn where it is; checked against the simulation."""

from __future__ import annotations

import argparse
import json
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import rclpy
from PIL import Image
from rclpy.executors import SingleThreadedExecutor
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image as ImageMessage
from sensor_msgs.msg import JointState

from tests.vvf.bag_factory import START_NS, cdr, image, joints
from tests.vvf.handeye_poses import apart
from vvf.bags.topics import TopicSpec
from vvf.bags.writer import BagWriter
from vvf.calibration.board import Chessboard, Detection
from vvf.calibration.camera_file import camera_yaml
from vvf.calibration.handeye import calibrate
from vvf.calibration.handeye_file import CameraPlace, place_of, write_place
from vvf.calibration.handeye_methods import Setup
from vvf.calibration.lens import Lens
from vvf.calibration.poses import PosePairs
from vvf.calibration.poses_camera import board_in_camera
from vvf.calibration.poses_robot import Robot, robot
from vvf.calibration.robot_check import ARM, FINGER, GRID, RobotPainter
from vvf.calibration.robot_check_live import OUTPUT, CheckNode
from vvf.calibration.robot_check_run import Checker, joints_at
from vvf.cli.main import main
from vvf.images import fill_image, to_rgb
from vvf.nodes.common import stream_qos
from vvf.processes import USER_ERROR
from vvf_sim.registry import task_entry
from vvf_sim.robots.arm import ARMS

DOMAIN = 65
SIZE = 160
SETUPS: dict[str, Setup] = {'shoulder': 'eye-to-hand', 'wrist': 'eye-in-hand'}
BOARD = Chessboard(6, 5, 0.02)


@dataclass
class Scene:
    """A simulated scene: its arm, images, and what is exactly known of its cameras."""

    world: Any
    arm: Robot

    @property
    def q(self) -> np.ndarray:
        return np.asarray(self.world.joints())

    def lens(self, camera: str, size: int = SIZE) -> Lens:
        focal = size / 2 / np.tan(np.radians(self.world.model.camera(camera).fovy[0]) / 2)
        middle = (size - 1) / 2
        matrix = np.array([[focal, 0, middle], [0, focal, middle], [0, 0, 1.0]])
        return Lens((size, size), 'plumb_bob', matrix, np.zeros(5))

    def camera_in_base(self, camera: str) -> np.ndarray:
        data, number = self.world.data, self.world.model.camera(camera).id
        pose = np.eye(4)
        # MuJoCo's cameras look along -z with y up.
        pose[:3, :3] = data.cam_xmat[number].reshape(3, 3) @ np.diag([1.0, -1.0, -1.0])
        pose[:3, 3] = data.cam_xpos[number]
        return np.asarray(self.world.arms[0].to_base(pose))

    def place(self, camera: str) -> CameraPlace:
        pose = self.camera_in_base(camera)
        if camera == 'wrist':
            pose = np.linalg.inv(self.arm.tip(self.q[:-1])) @ pose
        return CameraPlace(SETUPS[camera], 'parent', camera, pose)

    def painter(self, camera: str) -> RobotPainter:
        return RobotPainter(self.arm, self.lens(camera), self.place(camera))


@pytest.fixture(scope='module', params=ARMS)
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    entry = task_entry('pick_place')
    world = entry.make_world(entry.make_config(arm=request.param, image_size=SIZE))
    world.reset(3)
    yield Scene(world, robot(request.param))
    world.close()


@pytest.fixture(scope='module')
def widowx() -> Iterator[Scene]:
    entry = task_entry('pick_place')
    world = entry.make_world(entry.make_config(image_size=SIZE))
    world.reset(3)
    yield Scene(world, robot('wx250s'))
    world.close()


@pytest.mark.parametrize('camera', SETUPS)
def test_the_tip_is_where_the_simulation_has_it(scene: Scene, camera: str) -> None:
    site = scene.world.data.site('ee').xpos
    base = scene.world.arms[0].base
    seen = np.linalg.inv(base @ scene.camera_in_base(camera)) @ np.append(site, 1.0)
    lens = scene.lens(camera)
    pixel = lens.matrix @ seen[:3] / seen[2]
    assert scene.painter(camera).tip_pixel(scene.q[:-1]) == pytest.approx(pixel[:2], abs=0.5)


@pytest.mark.parametrize('camera', SETUPS)
def test_the_drawing_lies_on_the_arm(scene: Scene, camera: str) -> None:
    """The picture changes where the arm is if the arm is taken away; there the lines have to be."""
    painter, shown = scene.painter(camera), scene.world.images()[camera]
    model, colours = scene.world.model, scene.world.model.geom_rgba.copy()
    model.geom_rgba[model.geom_group == 2] = (1, 0, 1, 1)  # the arm's parts
    try:
        marked = scene.world.images()[camera].astype(int)
    finally:
        model.geom_rgba[:] = colours
    arm = np.abs(marked - shown).sum(2) > 60
    drawn = painter.draw(np.zeros_like(shown), scene.q[:-1], scene.q[-1])
    lines = np.zeros(drawn.shape[:2], bool)
    for colour in (ARM, FINGER):
        lines |= np.abs(drawn.astype(int) - colour).sum(2) < 60
    big = np.kron(arm, np.ones((painter.scale,) * 2, bool))
    assert lines.sum() > 100
    assert big[lines].mean() > (0.85 if camera == 'shoulder' else 0.6)
    assert (np.abs(drawn.astype(int) - np.multiply(GRID, 0.55)).sum(2) < 30).sum() > 100


def test_a_wrong_camera_is_seen_as_one(widowx: Scene) -> None:
    painter = widowx.painter('shoulder')
    tip = painter.tip_pixel(widowx.q[:-1])
    place = widowx.place('shoulder')
    place.pose[:3, 3] += (0.0, 0.0, 0.02)
    wrong = RobotPainter(widowx.arm, widowx.lens('shoulder'), place)
    assert np.linalg.norm(wrong.tip_pixel(widowx.q[:-1]) - tip) > 3


def test_what_is_behind_the_camera_or_folded_by_the_lens_is_not_drawn(widowx: Scene) -> None:
    lens = widowx.lens('shoulder')
    bent = Lens(lens.size, 'plumb_bob', lens.matrix, np.array([-0.4, 0.1, 0, 0, 0.0]))
    painter = RobotPainter(widowx.arm, bent, widowx.place('shoulder'))
    points = np.array([[0, 0, -1.0], [0, 0, 1.0], [5.0, 0, 1.0], [0, 0, 0.0]])
    pixels = painter.pixels(points, np.eye(4))
    assert np.isfinite(pixels).all(1).tolist() == [False, True, False, False]


@pytest.mark.parametrize('setup', SETUPS.values())
def test_a_hand_eye_run_in_the_simulation_finds_the_camera(widowx: Scene, setup: Setup) -> None:
    """Corners of a board with 0.3 pixels of noise, seen by the simulated camera."""
    rng = np.random.default_rng(5)
    arm, size = widowx.arm, 640
    camera = next(name for name in SETUPS if SETUPS[name] == setup)
    lens, true = widowx.lens(camera, size), widowx.place(camera).pose
    middle = BOARD.corners.mean(0)
    facing = np.eye(4)  # the board's middle in front of the camera, seen from its printed side
    facing[:3, 3] = [0, 0, 0.45 if setup == 'eye-to-hand' else 0.3] - middle
    kinematics = arm.arm.kinematics()
    start = arm.tip(arm.arm.home)
    if setup == 'eye-to-hand':
        carried = np.linalg.inv(start) @ true @ facing
    else:
        carried = start @ true @ facing
    grippers, boards = [], []
    while len(grippers) < 20:
        tilt = Rotation.from_rotvec(rng.uniform(-30, 30, 3), degrees=True).as_matrix()
        wanted = start.copy()
        wanted[:3, :3] = start[:3, :3] @ tilt
        wanted[:3, 3] += rng.uniform(-0.05, 0.05, 3)
        found = kinematics.inverse(wanted, arm.arm.home)
        tip = arm.tip(found.q)
        seen = np.linalg.inv(true) @ tip @ carried
        if setup == 'eye-in-hand':
            seen = np.linalg.inv(tip @ true) @ carried
        turn = Rotation.from_matrix(seen[:3, :3]).as_rotvec()
        corners = lens.project(BOARD.corners, turn, seen[:3, 3])
        if not found.converged or (corners < 0).any() or (corners > size - 1).any():
            continue
        shaken = corners + rng.normal(0, 0.3, corners.shape)
        detection = Detection(np.arange(len(corners)), shaken.astype(np.float32))
        grippers.append(tip)
        boards.append(board_in_camera(BOARD, detection, lens)[0])
    names = tuple(str(i) for i in range(20))
    result = calibrate(PosePairs(np.stack(grippers), np.stack(boards), names), setup)
    mm, deg = apart(result.best.pose, true)
    assert mm < 2
    assert deg < 0.2


@pytest.fixture(scope='module')
def files(widowx: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag of a resting simulated arm, its image, and the files of its shoulder camera."""
    folder = tmp_path_factory.mktemp('check')
    lens, place = widowx.lens('shoulder'), widowx.place('shoulder')
    projection = np.column_stack([lens.matrix, np.zeros(3)])
    text = camera_yaml('s', lens.size, 'plumb_bob', np.zeros(5).tolist(), lens.matrix, projection)
    (folder / 'shoulder.yaml').write_text(text)
    rows = [f'{key}: {value}' for key, value in {
        'setup': place.setup, 'translation_m': place.pose[:3, 3].tolist(),
        'rotation_xyzw': Rotation.from_matrix(place.pose[:3, :3]).as_quat().tolist(),
    }.items()]  # fmt: skip
    (folder / 'he.yaml').write_text('\n'.join(rows))
    shown = widowx.world.images()['shoulder']
    Image.fromarray(shown).save(folder / 'image.png')
    topics = [TopicSpec('/shoulder/image_raw', 'sensor_msgs/msg/Image', 'sensor')]
    topics += [TopicSpec('/joint_states', 'sensor_msgs/msg/JointState', 'reliable')]
    names = (*widowx.arm.arm.joint_names, 'left_finger')
    with BagWriter(folder / 'bag', topics) as writer:
        for i in range(6):
            now = START_NS + i * 200_000_000
            writer.write('/shoulder/image_raw', now, cdr(image(now, shown)))
            if i < 5:
                writer.write('/joint_states', now + 9, cdr(joints(now + 9, names, widowx.q)))
    return folder


def words(files: Path, source: str) -> list[str]:
    found = ['calibrate', 'check', source, '--robot', 'wx250s', '--intrinsics']
    return [*found, str(files / 'shoulder.yaml'), '--handeye', str(files / 'he.yaml')]


def test_a_bag_becomes_a_video_and_a_picture(widowx: Scene, files: Path, tmp_path: Path) -> None:
    out, numbers = tmp_path / 'check.mp4', tmp_path / 'check.json'
    bag = words(files, str(files / 'bag'))
    assert main([*bag, '--save', str(out), '--json', str(numbers)]) == 0
    with av.open(str(out)) as video:
        frames = [frame.to_ndarray(format='rgb24') for frame in video.decode(video=0)]
    assert len(frames) == 5
    found = json.loads(numbers.read_text())
    assert (found['frames'], found['frames_without_joints']) == (5, 1)
    tip = widowx.painter('shoulder').tip_pixel(widowx.q[:-1])
    assert found['tip_px'] == pytest.approx(tip.tolist(), abs=0.1)
    picture = tmp_path / 'check.png'
    assert main([*bag, '--save', str(picture), '--at', '0.2']) == 0
    drawn = np.asarray(Image.open(picture)).astype(int)
    assert np.abs(frames[1].astype(int) - drawn).mean() < 12
    assert (np.abs(drawn - ARM).sum(2) < 30).sum() > 100


def test_an_image_with_its_joints_gives_the_same(
    widowx: Scene, files: Path, tmp_path: Path
) -> None:
    out = tmp_path / 'check.png'
    angles = ','.join(str(angle) for angle in widowx.q[:-1])
    photo = words(files, str(files / 'image.png'))
    assert main([*photo, f'--joints={angles}', '--save', str(out)]) == 0
    shown = widowx.world.images()['shoulder']
    expected = widowx.painter('shoulder').draw(shown, widowx.q[:-1], 0.037)
    assert np.abs(np.asarray(Image.open(out)).astype(int) - expected).max() <= 2


@pytest.mark.parametrize(
    ('source', 'more', 'sentence'),
    [
        ('nowhere', ['--save', 'x.png'], 'is neither a bag, an image, nor a topic'),
        ('bag', [], 'where the picture goes with --save'),
        ('bag', ['--save', 'x.gif'], 'has to end in .png or .mp4'),
        ('image.png', ['--save', 'x.png'], '6 angles in rad: --joints=Q1,Q2'),
        ('image.png', ['--save', 'x.png', '--joints', '1,2'], '6 angles in rad: --joints=Q1,Q2'),
        ('image.png', ['--save', 'x.png', '--handeye', 'no.yaml'], 'no.yaml cannot be read'),
        ('image.png', ['--save', 'x.png', '--chessboard', '9x6', '--square', '0.02',
                       '--joints', '0,0,0,0,0,0'], 'does not say where the board is'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    files: Path, source: str, more: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words(files, str(files / source)), *more]) == USER_ERROR
    assert sentence in capsys.readouterr().err


def test_the_examples_have_angles_that_may_be_negative() -> None:
    from vvf.cli.calibrate_check import add_arguments

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    guide = (Path(__file__).parents[2] / 'docs' / 'calibration.md').read_text()
    for text in (parser.format_help(), guide):
        line = text.replace('\\\n', ' ').split('vvf calibrate check photo.png')[1].splitlines()[0]
        given = parser.parse_args(['photo.png', *shlex.split(line)]).joints
        angles = [float(word) for word in given.split(',')]
        assert len(angles) == 7
        assert angles[0] < 0


def test_another_size_than_was_calibrated_is_refused(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / 'small.png')
    small = words(files, str(tmp_path / 'small.png'))
    assert main([*small, '--joints', '0,0,0,0,0,0', '--save', 'x.png']) == USER_ERROR
    assert 'is 64x48, the intrinsics are for 160x160' in capsys.readouterr().err


def test_the_result_of_handeye_says_where_the_board_should_be(
    widowx: Scene, tmp_path: Path
) -> None:
    from tests.vvf.handeye_poses import BOARD as MOUNT
    from tests.vvf.handeye_poses import make_pairs
    from vvf.calibration.handeye_file import read_place

    pairs = make_pairs(8, 'eye-in-hand', mm=0.1, deg=0.01)
    result = calibrate(pairs, 'eye-in-hand')
    write_place(tmp_path / 'he.yaml', place_of(result, 'a', 'b'), result, {}, overwrite=False)
    place = read_place(tmp_path / 'he.yaml')
    assert place.board == pytest.approx(MOUNT['eye-in-hand'], abs=2e-3)
    tip = widowx.arm.tip(widowx.q[:-1])
    assert place.base_to_camera(tip) == pytest.approx(np.linalg.inv(tip @ place.pose))


def test_joints_between_two_samples_and_none_without_one() -> None:
    stamps, table = np.array([1.0, 1.1]), np.array([[0.0, 1.0], [1.0, 1.0]])
    assert joints_at(stamps, table, 1.05, 0.1) == pytest.approx([0.5, 1.0])
    assert joints_at(stamps, table, 1.15, 0.1) == pytest.approx([1.0, 1.0])
    assert joints_at(stamps, table, 1.25, 0.1) is None


def test_a_running_robot_is_drawn_on_a_topic(widowx: Scene) -> None:
    shown = widowx.world.images()['shoulder']
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    other = rclpy.create_node('robot', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(other)
    images = other.create_publisher(ImageMessage, '/shoulder/image_raw', 2)
    states = other.create_publisher(JointState, '/arm/joint_states', 10)
    heard: list[ImageMessage] = []
    other.create_subscription(ImageMessage, OUTPUT, heard.append, stream_qos())
    checker = Checker(widowx.painter('shoulder'))
    names = [*widowx.arm.arm.joint_names, 'left_finger']
    end = time.monotonic() + 60
    try:
        with CheckNode(widowx.arm, '/arm/joint_states', DOMAIN) as node:
            for frame in node.frames('/shoulder/image_raw'):
                stamp = other.get_clock().now().to_msg()
                state = JointState(name=names, position=widowx.q.tolist())
                message = fill_image(ImageMessage(), shown)
                state.header.stamp = message.header.stamp = stamp
                states.publish(state)
                images.publish(message)
                executor.spin_once(timeout_sec=0.02)
                if frame is not None:
                    canvas = checker.check(frame[1], frame[2], 'live')
                    if canvas is not None:
                        node.show(canvas)
                if heard or time.monotonic() > end:
                    break
    finally:
        executor.remove_node(other)
        other.destroy_node()
        rclpy.try_shutdown(context=context)
    expected = widowx.painter('shoulder').draw(shown, widowx.q[:-1], widowx.q[-1])
    assert np.array_equal(to_rgb(heard[0]), expected)
