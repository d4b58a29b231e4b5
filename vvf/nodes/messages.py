# SPDX-License-Identifier: Apache-2.0
"""Message classes by their ROS type name, and the names behind the codes in messages."""

from __future__ import annotations

import importlib
import re
from typing import Any

from vvf_msgs.srv import EndEpisode

from vvf.errors import UserError

#: Outcomes by the code of `vvf_msgs/srv/EndEpisode`, and the codes by outcome.
OUTCOMES = {
    EndEpisode.Request.SUCCESS: 'success',
    EndEpisode.Request.FAILURE: 'failure',
    EndEpisode.Request.ABORTED: 'aborted',
    EndEpisode.Request.UNLABELLED: 'unlabelled',
}
OUTCOME_CODES = {outcome: code for code, outcome in OUTCOMES.items()}

_TYPE = re.compile(r'([a-z][a-z0-9_]*)/msg/([A-Za-z][A-Za-z0-9]*)')


def message_class(type_name: str) -> Any:
    """The class of a type such as `sensor_msgs/msg/Image`.

    Raises:
        UserError: the name is no message type, or its package is not installed.
    """
    match = _TYPE.fullmatch(type_name)
    if match is None:
        raise UserError(f'{type_name!r} is no message type; write it as package/msg/Name.')
    package, name = match.groups()
    try:
        return getattr(importlib.import_module(f'{package}.msg'), name)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f'the message type {type_name} is not installed; install its package {package}.'
        ) from error
