# SPDX-License-Identifier: Apache-2.0
"""`vvf calibrate intrinsics` on photographs whose camera is known, and on real ones."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.shared_data import shared_data
from tests.vvf.board_views import Lens, photograph, photographs
from vvf.calibration import camera_info_fields
from vvf.calibration.board import Board, Chessboard
from vvf.calibration.capture import Views
from vvf.calibration.charuco import Charuco
from vvf.calibration.intrinsics import calibrate
from vvf.calibration.intrinsics_picture import draw, flat_corners
from vvf.calibration.pictures import Folder
from vvf.cli.main import main
from vvf.viz.canvas import BLUE, ORANGE

CHESS = Chessboard(9, 6, 0.025)
CHARUCO = Charuco(7, 5, 0.04, 0.03)
CHESS_WORDS = ['--chessboard', '9x6', '--square', '0.025']
CHARUCO_WORDS = ['--charuco', '7x5', '--square', '0.04', '--marker', '0.03']
SMALL = Lens(320, 240, 306.0, 304.0, 165.0, 114.0, (-0.2, 0.05, 0.001, 0.0, 0.0))
FISHEYE = Lens(320, 240, 306.0, 304.0, 165.0, 114.0, (0.05, -0.01, 0.003, 0.0))


@cache
def shots(board: Board, lens: Lens, count: int) -> list[np.ndarray]:
    return photographs(count, board, lens)


def folder(path: Path, images: list[np.ndarray]) -> str:
    path.mkdir(exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(path / f'{number:02}.png')
    return str(path)


def run(*words: str, json_file: Path) -> dict[str, Any]:
    assert main(['calibrate', 'intrinsics', *words, '--json', str(json_file)]) == 0
    return json.loads(json_file.read_text())


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(['calibrate', 'intrinsics', *words]) == 2
    return capsys.readouterr().err


def test_opencv_has_what_calibration_needs() -> None:
    """OpenCV 5 has no hand-eye calibration; hence it is pinned below."""
    assert int(cv2.__version__.partition('.')[0]) < 5
    assert callable(cv2.calibrateHandEye)
    assert callable(cv2.calibrateRobotWorldHandEye)


def test_real_photographs_give_the_published_camera(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = shared_data('chessboard_left')
    published = json.loads((photos / 'expected.json').read_text())['published_13_views']
    found = run(str(photos), *CHESS_WORDS, json_file=tmp_path / 'a.json')
    for key in ('fx', 'fy'):
        assert found[key] == pytest.approx(published[key], rel=0.01)
    for key in ('cx', 'cy'):
        assert abs(found[key] - published[key]) < 5.0
    assert found['views_used'] == 9
    assert found['rms_px'] < 0.3
    assert 'reprojection RMS 0.1' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('board', 'words', 'count'), [(CHESS, CHESS_WORDS, 10), (CHARUCO, CHARUCO_WORDS, 14)]
)
def test_a_known_camera_is_found(
    board: Board, words: list[str], count: int, tmp_path: Path
) -> None:
    lens = Lens()
    images = folder(tmp_path / 'images', shots(board, lens, count))
    found = run(images, *words, json_file=tmp_path / 'a.json')
    assert found['rms_px'] < 0.1
    for key in ('fx', 'fy', 'cx', 'cy'):
        error = abs(found[key] - getattr(lens, key))
        assert error < 1.5
        assert error < 5 * found['deviations'][key]
    # What a distortion does to a pixel counts, not its numbers.
    corner = np.array([[[0.0, 0.0]], [[640.0, 480.0]], [[640.0, 0.0]]])
    matrix = np.array([[found['fx'], 0, found['cx']], [0, found['fy'], found['cy']], [0, 0, 1]])
    seen = cv2.undistortPoints(corner, matrix, np.array(found['distortion']))
    true = cv2.undistortPoints(corner, lens.matrix, np.array(lens.distortion))
    assert np.abs(seen - true).max() * lens.fx < 4.0


@pytest.mark.parametrize(
    ('lens', 'model', 'name', 'length'),
    [
        (FISHEYE, 'fisheye', 'equidistant', 4),
        (Lens(), 'rational_polynomial', 'rational_polynomial', 8),
    ],
)
def test_other_lenses(lens: Lens, model: str, name: str, length: int, tmp_path: Path) -> None:
    images = folder(tmp_path / 'images', shots(CHARUCO, lens, 14))
    out = tmp_path / 'a.yaml'
    found = run(images, *CHARUCO_WORDS, '--model', model, '--out', str(out),
                json_file=tmp_path / 'a.json')  # fmt: skip
    assert found['distortion_model'] == name
    assert len(found['distortion']) == length
    assert found['fx'] == pytest.approx(lens.fx, rel=0.01)
    assert abs(found['cx'] - lens.cx) < 3.0
    assert camera_info_fields(out)['distortion_model'] == name


def test_the_file_is_that_of_camera_calibration_parsers(tmp_path: Path) -> None:
    images = folder(tmp_path / 'images', shots(CHARUCO, SMALL, 8))
    out = tmp_path / 'rig' / 'wrist.yaml'
    found = run(images, *CHARUCO_WORDS, '--out', str(out), json_file=tmp_path / 'a.json')
    fields = camera_info_fields(out)
    assert fields['k'] == [found['fx'], 0, found['cx'], 0, found['fy'], found['cy'], 0, 0, 1]
    assert fields['d'] == found['distortion']
    assert fields['r'] == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert fields['p'][2] > 0 < fields['p'][0]
    assert fields['distortion_model'] == 'plumb_bob'
    lines = [line.partition(':')[0] for line in out.read_text().splitlines()]
    matrix = ['  rows', '  cols', '  data']
    assert lines == [
        'image_width', 'image_height', 'camera_name', 'camera_matrix', *matrix,
        'distortion_model', 'distortion_coefficients', *matrix, 'rectification_matrix', *matrix,
        'projection_matrix', *matrix,
    ]  # fmt: skip
    assert 'camera_name: wrist' in out.read_text()


def test_an_earlier_result_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'wrist.yaml'
    out.write_text('mine')
    images = folder(tmp_path / 'images', shots(CHARUCO, SMALL, 8))
    words = [images, *CHARUCO_WORDS, '--out', str(out)]
    assert 'exists: choose another name, or add --overwrite' in refused(capsys, *words)
    assert out.read_text() == 'mine'
    assert main(['calibrate', 'intrinsics', *words, '--overwrite']) == 0
    assert camera_info_fields(out)['distortion_model'] == 'plumb_bob'


def test_a_view_that_contradicts_the_others_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = list(shots(CHARUCO, SMALL, 10))
    # As a rolling shutter shows a board that was moving.
    sheared = np.array([[1, 0.02, 0], [0.05, 1, 0]])
    images[4] = cv2.warpAffine(images[4], sheared, (320, 240))
    before = run(folder(tmp_path / 'a', shots(CHARUCO, SMALL, 10)), *CHARUCO_WORDS,
                 json_file=tmp_path / 'a.json')  # fmt: skip
    capsys.readouterr()
    after = run(folder(tmp_path / 'b', images), *CHARUCO_WORDS, json_file=tmp_path / 'b.json')
    assert 'left out, 04.png' in capsys.readouterr().out
    assert after['views_used'] == before['views_used'] - 1
    used = {v['name']: v['used'] for v in before['views']}
    assert used['04.png']
    assert {v['name']: v['used'] for v in after['views']} == used | {'04.png': False}
    assert after['fx'] == pytest.approx(before['fx'], rel=0.01)


def test_what_cannot_be_read_is_said_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = folder(tmp_path / 'images', shots(CHARUCO, SMALL, 8))
    (tmp_path / 'images' / 'broken.jpg').write_bytes(b'\xff\xd8 no more')
    (tmp_path / 'images' / 'empty.png').touch()
    (tmp_path / 'images' / 'notes.txt').write_text('no image')
    found = run(images, *CHARUCO_WORDS, json_file=tmp_path / 'a.json')
    assert len(found['unreadable']) == 2
    said = capsys.readouterr().out
    assert 'left out, broken.jpg: no image that can be read' in said
    assert 'empty.png' in said


@pytest.mark.parametrize(
    ('board', 'words', 'said'),
    [
        (CHESS, ['--chessboard', '10x7', '--square', '0.025'],
         'there is a chessboard of 9x6 inner corners: give --chessboard 9x6, which counts its '
         'inner corners and not its squares'),
        (CHESS, ['--chessboard', '8x5', '--square', '0.025'], 'give --chessboard 9x6.'),
        (CHESS, CHARUCO_WORDS, 'there is a chessboard of 9x6 inner corners'),
        (CHARUCO, CHESS_WORDS, 'there are markers of 4X4_50: give --charuco'),
        (CHARUCO, [*CHARUCO_WORDS, '--dictionary', '5X5_50'], 'give --dictionary 4X4_50'),
        (CHARUCO, ['--charuco', '4x3', '--square', '0.04', '--marker', '0.03'],
         'too many for 4x3 squares'),
        (CHARUCO, ['--charuco', '5x7', '--square', '0.04', '--marker', '0.03'],
         'markers in another arrangement'),
        (None, CHESS_WORDS, 'in none of 1 images'),
    ],
)  # fmt: skip
def test_another_board_is_told_by_what_is_seen(
    board: Board | None,
    words: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    empty = np.full((240, 320, 3), 128, np.uint8)
    far = (0.0, 0.0, 0.42)
    image = empty if board is None else photograph(board, SMALL, (0.2, 0.1, 0.05), far)
    assert said in refused(capsys, folder(tmp_path / 'images', [image]), *words)


def test_images_of_several_sizes_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = shots(CHARUCO, SMALL, 8)[0]
    images = folder(tmp_path / 'images', [image, image[:200]])
    said = refused(capsys, images, *CHARUCO_WORDS)
    assert '00.png has 320x240, 01.png has 320x200' in said


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['--chessboard', '9x6', '--square', '25'], 'give it in metres'),
        (['--chessboard', '9', '--square', '0.025'], 'such as 9x6'),
        (['--charuco', '7x5', '--square', '0.04'], 'needs --marker'),
        (['--charuco', '7x5', '--square', '0.04', '--marker', '0.05'], 'smaller than --square'),
        (['--charuco', '70x50', '--square', '0.04', '--marker', '0.03'], 'choose a larger one'),
        ([*CHARUCO_WORDS, '--dictionary', '4x4'], 'there is no dictionary'),
    ],
)
def test_a_board_that_makes_no_sense(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(capsys, str(tmp_path), *words)


def test_places_without_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 'holds no images' in refused(capsys, str(tmp_path), *CHESS_WORDS)
    assert 'does not exist' in refused(capsys, str(tmp_path / 'a.png'), *CHESS_WORDS)
    one = tmp_path / 'folder' / 'one.png'
    one.parent.mkdir()
    one.touch()
    assert 'is one image' in refused(capsys, str(one), *CHESS_WORDS)
    text = tmp_path / 'a.mp4'
    text.write_text('no video')
    assert 'holds no video' in refused(capsys, str(text), *CHESS_WORDS)
    assert 'there is no camera /dev/video77' in refused(capsys, '/dev/video77', *CHESS_WORDS)


def test_a_result_that_is_none_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, numbers = tmp_path / 'a.yaml', tmp_path / 'a.json'
    images = folder(tmp_path / 'images', [shots(CHARUCO, SMALL, 8)[4]] * 4)
    words = [images, *CHARUCO_WORDS, '--out', str(out), '--json', str(numbers)]
    assert 'leave the focal length open' in refused(capsys, *words)
    assert not out.exists()
    assert len(json.loads(numbers.read_text())['warnings']) >= 3
    assert '3 are the least' in refused(
        capsys, folder(tmp_path / 'two', shots(CHARUCO, SMALL, 8)[:2]), *CHARUCO_WORDS
    )


def test_a_large_image_is_searched_quickly_and_measured_whole() -> None:
    lens = Lens(960, 720, 918.0, 914.0, 497.0, 342.0)
    gray = photograph(CHESS, lens, (0.2, 0.1, 0.05), (0.0, 0.0, 0.42))[..., 0].copy()
    quick, whole = CHESS.find(gray, quick=True), CHESS.find(gray)
    assert quick is not None
    assert whole is not None
    # The finder may begin at either end of a board that looks the same when it is turned.
    ends = [np.abs(points - whole.points).max() for points in (quick.points, quick.points[::-1])]
    assert min(ends) < 0.1


def test_the_picture_shows_corners_where_they_are(tmp_path: Path) -> None:
    views = Views(CHARUCO)
    images = Folder(Path(folder(tmp_path / 'images', shots(CHARUCO, SMALL, 8))))
    assert all(verdict.taken for verdict in views.find_all(images))
    result = calibrate(CHARUCO, views.views, views.size)
    flat = result.fit.lens.undistorted(views.picture(views.views[4]))
    found = CHARUCO.find(cv2.cvtColor(flat, cv2.COLOR_RGB2GRAY))
    assert found is not None
    assert len(found.ids) > 20
    number = [v.view for v in result.used].index(views.views[4])
    drawn = flat_corners(result, views, number)[found.ids]
    assert np.linalg.norm(drawn - found.points, axis=1).max() < 1.0
    picture = draw(result, views).image()
    assert picture.shape[1] > 1000
    assert (picture == BLUE).all(axis=2).sum() > 500  # residuals and bars
    assert (picture == ORANGE).all(axis=2).sum() > 500  # the board's grid


def test_help_has_an_example_of_each_source(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(['calibrate', 'intrinsics', '--help'])
    said = capsys.readouterr().out
    for source in ('FOLDER', '/dev/video0', '/wrist/image_raw', 'BAG'):
        assert f'vvf calibrate intrinsics {source} ' in said
