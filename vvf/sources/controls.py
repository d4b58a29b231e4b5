# SPDX-License-Identifier: Apache-2.0
"""Exposure, focus and the like of a camera, as `name=value` pairs."""

from __future__ import annotations

import re
from typing import Any

import cv2

from vvf.errors import UserError

#: Automatics first: a camera refuses a value while its automatic chooses it.
PROPERTIES = {
    'auto_exposure': cv2.CAP_PROP_AUTO_EXPOSURE,
    'auto_white_balance': cv2.CAP_PROP_AUTO_WB,
    'autofocus': cv2.CAP_PROP_AUTOFOCUS,
    'exposure': cv2.CAP_PROP_EXPOSURE,
    'gain': cv2.CAP_PROP_GAIN,
    'brightness': cv2.CAP_PROP_BRIGHTNESS,
    'contrast': cv2.CAP_PROP_CONTRAST,
    'saturation': cv2.CAP_PROP_SATURATION,
    'hue': cv2.CAP_PROP_HUE,
    'sharpness': cv2.CAP_PROP_SHARPNESS,
    'gamma': cv2.CAP_PROP_GAMMA,
    'white_balance_temperature': cv2.CAP_PROP_WB_TEMPERATURE,
    'backlight_compensation': cv2.CAP_PROP_BACKLIGHT,
    'focus': cv2.CAP_PROP_FOCUS,
    'zoom': cv2.CAP_PROP_ZOOM,
}


def parse_controls(text: str) -> dict[str, float]:
    """Read `auto_exposure=1 exposure=157`; values are those of `v4l2-ctl --list-ctrls`.

    Returns:
        Values by name, in the order in which they have to be set.

    Raises:
        UserError: a pair is none, its name is not known, or its value is no number.
    """
    values = {}
    for pair in re.split(r'[\s,]+', text.strip()):
        if not pair:
            continue
        name, _, value = pair.partition('=')
        if name not in PROPERTIES:
            raise UserError(f'camera control {name!r} is not one of {", ".join(PROPERTIES)}.')
        try:
            values[name] = float(value)
        except ValueError as error:
            raise UserError(f'camera control {pair!r}: write it as {name}=NUMBER.') from error
    return {name: values[name] for name in PROPERTIES if name in values}


def apply_controls(capture: Any, controls: dict[str, float]) -> list[str]:
    """Set controls of an open `cv2.VideoCapture`; says in words what the camera did otherwise."""
    complaints = []
    for name, value in controls.items():
        taken = capture.set(PROPERTIES[name], value)
        now = capture.get(PROPERTIES[name])
        if not taken:
            complaints.append(f'the control {name}={value:g} is refused')
        elif now != value:
            complaints.append(f'the control {name} is {now:g} instead of {value:g}')
    return complaints
