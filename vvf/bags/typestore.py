# SPDX-License-Identifier: Apache-2.0
"""Message types for reading and writing bags where no ROS is installed."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from vvf.errors import UserError


@functools.cache
def typestore() -> Typestore:
    """Return the ROS 2 Jazzy types with those of vvf_msgs added.

    Raises:
        UserError: The message definitions of vvf_msgs are nowhere to be found.
    """
    store = get_typestore(Stores.ROS2_JAZZY)
    for path in sorted(message_folder().glob('*.msg')):
        name = f'vvf_msgs/msg/{path.stem}'
        store.register(get_types_from_msg(path.read_text('utf-8'), name))
    return store


def message_folder() -> Path:
    """Return the folder with the .msg files of vvf_msgs: source tree, or an installed package."""
    root = Path(__file__).resolve().parents[2]
    prefixes = [Path(p) for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    folders = [root / 'ros2_ws' / 'src' / 'vvf_msgs' / 'msg']
    folders += [p / 'share' / 'vvf_msgs' / 'msg' for p in (*prefixes, Path(sys.prefix))]
    for folder in folders:
        if (folder / 'ValueEstimate.msg').is_file():
            return folder
    raise UserError('the definitions of vvf_msgs are missing: run make setup, or source the ROS '
                    'workspace that holds vvf_msgs')  # fmt: skip


def register_definition(store: Typestore, type_name: str, definition: str) -> None:
    """Add a type from the definition stored in a bag, unless the store knows it already."""
    if type_name in store.fielddefs:
        return
    found = get_types_from_msg(definition, type_name)
    store.register({name: defs for name, defs in found.items() if name not in store.fielddefs})
