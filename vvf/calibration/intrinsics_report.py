# SPDX-License-Identifier: Apache-2.0
"""A calibration as text, as numbers and as a camera_info file."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from vvf.calibration.camera_file import camera_yaml
from vvf.calibration.capture import Views
from vvf.calibration.diagnosis import what_is_there
from vvf.calibration.intrinsics import Intrinsics
from vvf.calibration.trust import warnings

_SHOWN = 5


def camera_text(result: Intrinsics, name: str) -> str:
    """The result as camera_info YAML."""
    lens = result.fit.lens
    return camera_yaml(
        name, lens.size, lens.distortion_model, list(lens.distortion), lens.matrix,
        lens.projection(),
    )  # fmt: skip


def numbers(result: Intrinsics, views: Views, unreadable: list[str]) -> dict[str, Any]:
    """The result with stable keys, for `--json`."""
    lens = result.fit.lens
    deviations = [float(x) for x in result.deviations]
    return {
        'fx': lens.matrix[0, 0],
        'fy': lens.matrix[1, 1],
        'cx': lens.matrix[0, 2],
        'cy': lens.matrix[1, 2],
        'distortion': list(lens.distortion),
        'distortion_model': lens.distortion_model,
        'rms_px': result.rms_px,
        'views_used': len(result.used),
        'views_found': len(result.views),
        'images': views.looked_at,
        'width': lens.size[0],
        'height': lens.size[1],
        'board': str(views.board),
        'deviations': dict(zip(('fx', 'fy', 'cx', 'cy'), deviations, strict=False))
        | {'distortion': deviations[4:]},
        'views': [
            {
                'name': v.view.name,
                'corners': len(v.view.detection.ids),
                'rms_px': v.rms_px,
                'used': v.used,
            }
            for v in result.views
        ],
        'unreadable': unreadable,
        'warnings': warnings(result),
    }


def print_result(result: Intrinsics, views: Views, unreadable: list[str]) -> None:
    """Say what came out, what was left out, and what should make one doubt it."""
    console = Console(highlight=False, soft_wrap=True)
    lens = result.fit.lens
    seen = f'{len(result.views)} views of {views.looked_at} images of {lens.size[0]}x{lens.size[1]}'
    console.print(f'{seen}; {views.board}')
    for line in unreadable[:_SHOWN]:
        console.print(f'left out, {line}', style='yellow')
    if len(unreadable) > _SHOWN:
        console.print(f'left out, {len(unreadable) - _SHOWN} more like these', style='yellow')
    for view in result.rejected:
        console.print(
            f'left out, {view.view.name}: {view.rms_px:.2f} px off, unlike the others',
            style='yellow',
        )
    values = [lens.matrix[0, 0], lens.matrix[1, 1], lens.matrix[0, 2], lens.matrix[1, 2]]
    spread = [f' ± {x:.2f}' for x in result.deviations[:4]]
    console.print(
        '   '.join(
            f'{name} {value:.2f}{more}'
            for name, value, more in zip(('fx', 'fy', 'cx', 'cy'), values, spread, strict=True)
        )
        + ' px'
    )
    console.print(f'{lens.distortion_model}: {"  ".join(f"{x:.4f}" for x in lens.distortion)}')
    console.print(
        f'reprojection RMS {result.rms_px:.3f} px over {len(result.used)} views', style='bold'
    )
    for doubt in warnings(result):
        console.print(f'warning: {doubt}', style='yellow')


def why_no_views(views: Views, source: str) -> str:
    """A sentence for images in none of which the board was found, or taken."""
    if not views.looked_at:
        return f'no image of {source} can be read.'
    if views.seen:
        return (
            f'the board was seen in {views.seen} of {views.looked_at} images, but nowhere still '
            'and sharp: hold it still for half a second at each place, or allow more with '
            '--max-speed.'
        )
    found = what_is_there(views.board, views.last_without) if views.last_without is not None else ''
    what = f'{views.board}: in none of {views.looked_at} images of {source} is it found; '
    return what + (
        f'{found}.' if found else 'is all of it in the image, lit evenly, with a white margin?'
    )
