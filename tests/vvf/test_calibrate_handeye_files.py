# SPDX-License-Identifier: Apache-2.0
"""`vvf calibrate handeye`: what it reads, writes and refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.vvf.handeye_poses import BOARD, CAMERA, apart, make_pairs
from vvf.calibration.board import Chessboard
from vvf.calibration.handeye_file import read_place
from vvf.calibration.handeye_halfturn import from_one_end, half_turn
from vvf.calibration.poses import pose_from, read_poses, write_poses
from vvf.cli.main import main
from vvf.processes import USER_ERROR

SETUP = 'eye-to-hand'


@pytest.fixture
def poses(tmp_path: Path) -> Path:
    pairs = make_pairs(16, 'eye-to-hand', mm=0.5, deg=0.05)
    board = pairs.board.copy()
    board[4, :3, 3] += 0.05
    named = replace(pairs, board=board, base_frame='wx250s/base_link', camera_frame='front')
    write_poses(tmp_path / 'poses.json', named)
    return tmp_path / 'poses.json'


def test_the_command_writes_numbers_yaml_and_picture(
    poses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, numbers, picture = (tmp_path / name for name in ('he.yaml', 'he.json', 'he.png'))
    words = ['calibrate', 'handeye', str(poses), '--setup', SETUP, '--out', str(out)]
    assert main([*words, '--json', str(numbers), '--picture', str(picture)]) == 0
    said = capsys.readouterr().out
    found = json.loads(numbers.read_text())
    methods = found['methods']
    assert set(methods) >= {'tsai', 'park', 'horaud', 'andreff', 'daniilidis', 'shah', 'li'}
    for name, method in methods.items():
        assert apart(pose_from(method, name), CAMERA[SETUP])[0] < 3
        assert method['residual_mm'] < 2
        assert method['residual_deg'] < 0.2
    assert found['chosen'] in methods
    assert [entry['pose'] for entry in found['rejected']] == ['5']
    assert 'pose 5 is left out' in said

    place = read_place(out)
    assert (place.setup, place.parent_frame, place.child_frame) == (
        SETUP, 'wx250s/base_link', 'front',
    )  # fmt: skip
    assert place.pose == pytest.approx(pose_from(methods[found['chosen']], ''))
    assert place.board is not None
    assert apart(place.board, BOARD[SETUP])[0] < 3
    data = yaml.safe_load(out.read_text())
    assert data['method'] == found['chosen']
    assert data['poses_left_out'] == ['5']
    command = place.publish_command()
    assert command in said
    assert command in out.read_text()
    assert f'static_transform_publisher --x {place.pose[0, 3]:.6f} --y -0.' in command
    assert '--frame-id wx250s/base_link --child-frame-id front' in said
    assert np.asarray(Image.open(picture)).std() > 10

    # The same poses give the same file, and what is there is not lost by accident.
    before = out.read_text()
    assert main(words) == USER_ERROR
    assert '--overwrite' in capsys.readouterr().err
    assert main([*words, '--overwrite']) == 0
    assert out.read_text() == before


def test_poses_are_kept_when_they_are_refused_and_never_lost(
    poses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = json.loads(poses.read_text())
    data['poses'] = data['poses'][:2]
    poses.write_text(json.dumps(data))
    kept = tmp_path / 'new' / 'kept.json'
    words = ['calibrate', 'handeye', str(poses), '--setup', SETUP, '--save-poses', str(kept)]
    assert main(words) == USER_ERROR
    assert 'needs 3 poses at least' in capsys.readouterr().err
    assert read_poses(kept).gripper == pytest.approx(read_poses(poses).gripper)
    kept.write_text('of another day')
    assert main(words) == USER_ERROR
    assert f'{kept} exists' in capsys.readouterr().err
    assert kept.read_text() == 'of another day'
    assert main([*words, '--overwrite']) == USER_ERROR
    assert len(read_poses(kept)) == 2
    assert list(kept.parent.iterdir()) == [kept]


def test_poses_survive_writing_and_moveits_layout_is_read(tmp_path: Path) -> None:
    pairs = make_pairs(4, 'eye-in-hand')
    write_poses(tmp_path / 'ours.json', pairs)
    ours = read_poses(tmp_path / 'ours.json')
    moveit = [[g.tolist(), b.tolist()] for g, b in zip(pairs.gripper, pairs.board, strict=True)]
    (tmp_path / 'moveit.json').write_text(json.dumps(moveit))
    theirs = read_poses(tmp_path / 'moveit.json')
    for read in (ours, theirs):
        assert read.gripper == pytest.approx(pairs.gripper)
        assert read.board == pytest.approx(pairs.board)


def _quaternion(data: Any) -> None:
    data['poses'][2]['board_in_camera']['rotation_xyzw'][3] += 0.2


def _frames(data: Any) -> None:
    data['poses'][2]['gripper_in_base']['frame'] = 'world'


def _few(data: Any) -> None:
    del data['poses'][2:]


def _matrix(data: Any) -> None:
    data['poses'][2] = [np.eye(4).tolist(), (2 * np.eye(4)).tolist()]


def _missing(data: Any) -> None:
    del data['poses'][2]['board_in_camera']


def _infinite(data: Any) -> None:
    data['poses'][2]['board_in_camera']['translation_m'][0] = None


def _no_list(data: Any) -> None:
    data['poses'] = 'none'


@pytest.mark.parametrize(
    ('damage', 'sentence'),
    [
        (_quaternion, 'pose 3, board_in_camera: rotation_xyzw has length'),
        (_frames, "gripper_in_base is given in the frames 'world' and 'wx250s/base_link'"),
        (_few, 'needs 3 poses at least'),
        (_matrix, 'pose 3, board_in_camera is no pose'),
        (_missing, 'pose 3 is no pair'),
        (_infinite, 'pose 3, board_in_camera: translation_m needs 3 finite numbers'),
        (_no_list, 'holds no list of poses'),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    poses: Path, damage: Any, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = json.loads(poses.read_text())
    damage(data)
    poses.write_text(json.dumps(data))
    assert main(['calibrate', 'handeye', str(poses), '--setup', SETUP]) == USER_ERROR
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count('\n') == 1


@pytest.mark.parametrize(
    ('words', 'sentence'),
    [
        (['nowhere.json'], 'nowhere.json cannot be read'),
        ([], 'give one of POSES.json, --bag and --images'),
        (['--bag', 'x'], '--intrinsics and --chessboard or --charuco are needed'),
        (['--bag', 'x', '--chessboard', '9x6'], 'needs --square'),
    ],
)
def test_what_is_missing_is_said(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['calibrate', 'handeye', *words, '--setup', SETUP]) == USER_ERROR
    assert sentence in capsys.readouterr().err


def test_malformed_json_is_said_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'poses.json'
    path.write_text('{"poses": [\n  {"gripper_in_base": }\n]}')
    assert main(['calibrate', 'handeye', str(path), '--setup', SETUP]) == USER_ERROR
    assert 'not valid JSON at line 2' in capsys.readouterr().err


def test_a_board_that_was_read_from_the_other_end_is_turned_back() -> None:
    board = Chessboard(8, 6, 0.025)
    pairs = make_pairs(14, SETUP, mm=0.5, deg=0.05)
    read = pairs.board.copy()
    wrong = [0, 2, 3, 7, 9, 11]
    read[wrong] = read[wrong] @ half_turn(board)
    mended, turned = from_one_end(replace(pairs, board=read), board)
    assert turned == [str(i + 1) for i in wrong]
    assert mended.board == pytest.approx(pairs.board)
    assert from_one_end(pairs, Chessboard(9, 6, 0.025)) == (pairs, [])
