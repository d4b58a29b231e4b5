# SPDX-License-Identifier: Apache-2.0
"""Hand-eye poses out of photographs: from a bag in which the arm rests and moves, and a folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from tests.vvf.bag_factory import START_NS, cdr, image, joints
from tests.vvf.board_views import Lens, photograph
from tests.vvf.handeye_poses import apart, pose
from vvf.bags.topics import TopicSpec
from vvf.bags.writer import BagWriter
from vvf.calibration.board import Chessboard, Detection
from vvf.calibration.camera_file import camera_yaml
from vvf.calibration.handeye_file import CameraPlace
from vvf.calibration.handeye_halfturn import half_turn
from vvf.calibration.lens import Lens as CameraLens
from vvf.calibration.poses import pose_from
from vvf.calibration.poses_bag import rests
from vvf.calibration.poses_camera import board_in_camera
from vvf.calibration.poses_robot import robot
from vvf.calibration.robot_check import RobotProjector
from vvf.calibration.robot_check_board import board_error
from vvf.cli.main import main
from vvf.processes import USER_ERROR
from vvf_sim.robots.arm import ARMS

BOARD = Chessboard(7, 5, 0.03)
LENS = Lens(320, 240, 300.0, 298.0, 161.0, 119.0, (-0.2, 0.05, 0.0, 0.0, 0.0))
ARM = robot('wx250s')
#: Beside the robot, looking at the gripper, and the board on the gripper.
CAMERA = np.eye(4)
CAMERA[:3, :3] = [[0, 0, -1], [1, 0, 0], [0, -1, 0]]
CAMERA[:3, 3] = (0.75, 0.05, 0.3)
MOUNT = pose((0.04, -0.09, 0.06), (0, 0, 0))
MOUNT[:3, :3] = CAMERA[:3, :3]
POSTURES = 9
REST_S, MOVE_S, JOINTS_HZ, FRAMES_HZ = 0.7, 0.3, 50, 10


def posture(number: int) -> np.ndarray:
    """Arm angles with the board in front of the camera, tilted this way and that."""
    rng = np.random.default_rng(number)
    turn = Rotation.from_rotvec(rng.uniform(-1, 1, 3) * (35, 30, 30), degrees=True).as_matrix()
    wanted = np.eye(4)
    wanted[:3, :3] = turn
    wanted[:3, 3] = (0.33 + 0.04 * rng.uniform(-1, 1), 0.05 + 0.03 * rng.uniform(-1, 1), 0.25)
    return ARM.arm.kinematics().inverse(wanted, np.zeros(6)).q


def picture(q: np.ndarray) -> np.ndarray:
    seen = np.linalg.inv(CAMERA) @ ARM.tip(q) @ MOUNT
    turn = Rotation.from_matrix(seen[:3, :3]).as_rotvec()
    middle = seen @ np.append(BOARD.corners.mean(0), 1.0)
    return photograph(BOARD, LENS, tuple(turn), tuple(middle[:3]))


def way() -> Iterator[tuple[float, np.ndarray, int | None]]:
    """Time, joints and which posture the arm rests in, at the rate of the joint states."""
    step = 0
    for number in range(POSTURES):
        here, there = posture(number), posture(number + 1)
        for _ in range(round(REST_S * JOINTS_HZ)):
            yield step / JOINTS_HZ, here, number
            step += 1
        for i in range(round(MOVE_S * JOINTS_HZ)):
            yield step / JOINTS_HZ, here + (there - here) * i / (MOVE_S * JOINTS_HZ), None
            step += 1


@pytest.fixture(scope='module')
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag of an arm that carries a board from rest to rest, and the camera's file."""
    folder = tmp_path_factory.mktemp('handeye')
    topics = [TopicSpec('/front/image_raw', 'sensor_msgs/msg/Image', 'sensor')]
    topics += [TopicSpec('/joint_states', 'sensor_msgs/msg/JointState', 'reliable')]
    pictures = [picture(posture(number)) for number in range(POSTURES)]
    names = ('gripper', *ARM.arm.joint_names)
    blurred = np.full_like(pictures[0], 90)
    with BagWriter(folder / 'bag', topics) as writer:
        for i, (time, q, number) in enumerate(way()):
            now = START_NS + round(time * 1e9)
            row = np.concatenate([[0.0], q])
            writer.write('/joint_states', now, cdr(joints(now, names, row)))
            if i % (JOINTS_HZ // FRAMES_HZ) == 0:
                shown = blurred if number is None else pictures[number]
                writer.write('/front/image_raw', now, cdr(image(now, shown)))
    matrix = LENS.matrix
    projection = np.column_stack([matrix, np.zeros(3)])
    text = camera_yaml(
        'front', (LENS.width, LENS.height), 'plumb_bob', LENS.distortion, matrix, projection
    )
    (folder / 'front.yaml').write_text(text)
    return folder


def board_words(folder: Path) -> list[str]:
    words = ['--robot', 'wx250s', '--setup', 'eye-to-hand', '--chessboard', '7x5', '--square']
    return [*words, '0.03', '--intrinsics', str(folder / 'front.yaml')]


def test_a_bag_gives_the_camera_out_of_the_rests(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = tmp_path / 'he.json'
    words = ['calibrate', 'handeye', '--bag', str(recorded / 'bag'), '--json', str(numbers)]
    words += ['--save-poses', str(tmp_path / 'poses.json'), '--out', str(tmp_path / 'he.yaml')]
    assert main([*words, *board_words(recorded)]) == 0
    found = json.loads(numbers.read_text())
    assert found['poses'] == POSTURES
    mm, deg = apart(pose_from(found['methods'][found['chosen']], ''), CAMERA)
    assert mm < 1
    assert deg < 0.1
    assert found['parent_frame'] == 'wx250s/base_link'
    assert 'take 15 poses or more' in capsys.readouterr().out
    saved = tmp_path / 'again.json'
    assert main(['calibrate', 'handeye', str(tmp_path / 'poses.json'), '--setup', 'eye-to-hand',
                 '--json', str(saved)]) == 0  # fmt: skip
    again = json.loads(saved.read_text())['methods']
    for name, method in found['methods'].items():
        assert again[name]['translation_m'] == pytest.approx(method['translation_m'])

    # And the check of that same recording has the board where it is seen.
    checked = tmp_path / 'check.json'
    words = ['calibrate', 'check', str(recorded / 'bag'), '--handeye', str(tmp_path / 'he.yaml')]
    board = [word for word in board_words(recorded) if word not in ('--setup', 'eye-to-hand')]
    assert main([*words, *board, '--save', str(tmp_path / 'c.png'), '--json', str(checked)]) == 0
    error = json.loads(checked.read_text())
    assert error['frames_with_board'] == 1
    assert error['corner_px'] < 1.0
    assert error['board_off_mm'] < 5


@pytest.mark.parametrize('end', [np.eye(4), half_turn(BOARD)], ids=['one end', 'the other'])
def test_the_check_knows_a_chessboard_from_either_end(end: np.ndarray) -> None:
    """Another image may be read from another end than those of the calibration."""
    lens = CameraLens(
        (LENS.width, LENS.height), 'plumb_bob', LENS.matrix, np.array(LENS.distortion)
    )
    place = CameraPlace('eye-to-hand', 'base', 'camera', CAMERA, MOUNT @ end)
    q = posture(1)
    found = board_error(RobotProjector(ARM, lens, place), BOARD, picture(q), q)
    assert found is not None
    assert found.rms_px < 1.0
    assert found.off_mm < 5
    assert found.off_deg < 2


def test_a_folder_with_a_table_of_joints_gives_the_same(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / 'joints.csv'
    with table.open('w', newline='') as file:
        rows = csv.writer(file)
        rows.writerow(['image', *ARM.arm.joint_names])
        for number in range(6):
            Image.fromarray(picture(posture(number))).save(tmp_path / f'{number}.png')
            rows.writerow([f'{number}.png', *posture(number)])
    numbers = tmp_path / 'he.json'
    words = ['calibrate', 'handeye', '--images', str(tmp_path), '--joints', str(table)]
    assert main([*words, *board_words(recorded), '--json', str(numbers)]) == 0
    found = json.loads(numbers.read_text())
    assert apart(pose_from(found['methods'][found['chosen']], ''), CAMERA)[0] < 1
    assert main([*words[:4], *board_words(recorded)]) == USER_ERROR
    assert '--joints is needed' in capsys.readouterr().err
    table.write_text(table.read_text() + 'lost.png,0,0,0,0,0,0\n')
    assert main([*words, *board_words(recorded)]) == USER_ERROR
    assert "line 8: there is no image 'lost.png'" in capsys.readouterr().err


def test_what_a_bag_lacks_is_said(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ['calibrate', 'handeye', '--bag', str(recorded / 'bag'), *board_words(recorded)]
    assert main([*words, '--camera', 'wrist']) == USER_ERROR
    assert 'there are front/image_raw' in capsys.readouterr().err
    assert main([*words, '--robot', 'fr3']) == USER_ERROR
    assert 'has not all joints of fr3' in capsys.readouterr().err
    words[words.index('--chessboard') : words.index('--square')] = ['--charuco', '7x5']
    assert main(words) == USER_ERROR
    assert 'needs --marker' in capsys.readouterr().err
    assert main([*words, '--marker', '0.02']) == USER_ERROR
    assert 'no image shows the ChArUco board 7x5' in capsys.readouterr().err


def test_only_rests_count_and_each_once() -> None:
    times = np.arange(0, 6, 0.02)
    where = np.clip(times - 2, 0, 1)  # rests, moves from 2 to 3, rests
    angles = np.stack([where, np.zeros_like(where)], axis=1)
    frames = np.arange(0, 6, 0.1)
    found = rests((frames * 1e9).astype(int), (times * 1e9).astype(int), angles)
    assert [q[0] for _, q in found] == pytest.approx([0, 1], abs=0.006)
    assert min(found[1][0]) >= 3.2e9
    assert max(found[0][0]) <= 1.8e9
    gone = (times < 0.5) | (times > 1.5)  # joint states are missing for a second
    found = rests((frames * 1e9).astype(int), (times[gone] * 1e9).astype(int), angles[gone])
    assert not any(0.6e9 < stamp < 1.4e9 for stamps, _ in found for stamp in stamps)


@pytest.mark.parametrize('name', ARMS)
def test_joints_are_found_by_name_and_the_tip_is_the_vendors(name: str) -> None:
    arm = robot(name)
    q = arm.arm.home
    names = [*reversed(arm.arm.joint_names), 'left_finger']
    values = [*q[::-1], 0.02]
    assert arm.joints(names, values) == pytest.approx(np.append(q, 0.02))
    assert arm.joints(names[1:], values[1:]) is None
    assert arm.joints(names, [np.nan, *values[1:]]) is None
    both = [f'{side}_{joint}' for side in ('left', 'right') for joint in names]
    right = robot(name, 'right').joints(both, [*np.zeros(len(names)), *values])
    assert right == pytest.approx(np.append(q, 0.02))
    tip, ours = arm.tip(q), arm.arm.kinematics().forward(q)
    approach = tip[:3, 0] if name == 'wx250s' else tip[:3, 2]
    assert approach == pytest.approx(ours[:3, 0])
    assert tip[:3, 3] == pytest.approx(ours[:3, 3])
    if name != 'wx250s':
        panda = [joint.replace(name, 'panda') for joint in arm.arm.joint_names]
        fingers = [f'{name}_finger_joint1', f'{name}_finger_joint2']
        assert arm.joints([*panda, *fingers], [*q, 0.01, 0.01]) == pytest.approx([*q, 0.01])


@pytest.mark.parametrize(
    ('model', 'distortion'),
    [
        ('plumb_bob', (-0.3, 0.1, 0.001, -0.001, 0.0)),
        ('rational_polynomial', (0.1, -0.2, 0.001, 0.0, 0.05, 0.2, -0.1, 0.02)),
        ('equidistant', (-0.02, 0.01, -0.005, 0.001)),
    ],
)
def test_the_board_is_found_through_every_lens(model: str, distortion: tuple[float, ...]) -> None:
    lens = CameraLens((640, 480), model, np.diag([400.0, 402.0, 1.0]), np.array(distortion))
    lens.matrix[:2, 2] = (318.0, 242.0)
    true = pose((-0.1, -0.05, 0.4), (15, -25, 8))
    turn = Rotation.from_matrix(true[:3, :3]).as_rotvec()
    seen = lens.project(BOARD.corners, turn, true[:3, 3])[5:30]
    found, rms = board_in_camera(BOARD, Detection(np.arange(5, 30), seen.astype(np.float32)), lens)
    assert rms < 0.01
    mm, deg = apart(found, true)
    assert mm < 0.1
    assert deg < 0.02
