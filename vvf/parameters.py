# SPDX-License-Identifier: Apache-2.0
"""Declares a node's parameters, each with a description and a range.

Every node lists its parameters in a `PARAMETERS` tuple; `config/nodes/<node>.yaml` carries the
same names and defaults with a comment each, and a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vvf.errors import UserError


@dataclass(frozen=True)
class Parameter:
    """One ROS parameter: `default` fixes its type, `low`/`high` its range where it has one.

    They are read when the node starts; a change while it runs is refused, not ignored.
    """

    name: str
    default: Any
    description: str
    low: float | None = None
    high: float | None = None
    read_only: bool = True


#: What every node that works for a task takes; `load_task` gets all three.
TASK_PARAMETERS = (
    Parameter('task', 'pick_place', 'task file: a name in config/tasks or a path'),
    Parameter('robot', '', 'arm, a file of config/robots; empty: that of the task or the rig'),
    Parameter('rig', '', 'real table, a file of config/rigs; empty: simulated, or a replay'),
)


def declare(node: Any, parameters: tuple[Parameter, ...]) -> dict[str, Any]:
    """Declare parameters on an rclpy node, with descriptions and ranges; returns their values.

    Raises:
        UserError: a value is of another type than the parameter, or out of its range.
    """
    from rcl_interfaces.msg import (
        FloatingPointRange,
        IntegerRange,
        ParameterDescriptor,
    )
    from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException

    values = {}
    for p in parameters:
        descriptor = ParameterDescriptor(description=p.description, read_only=p.read_only)
        if p.low is not None and p.high is not None:
            if isinstance(p.default, float):
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=float(p.low), to_value=float(p.high), step=0.0)
                ]
            else:
                descriptor.integer_range = [
                    IntegerRange(from_value=int(p.low), to_value=int(p.high), step=1)
                ]
        if not node.has_parameter(p.name):
            try:
                node.declare_parameter(p.name, p.default, descriptor)
            except InvalidParameterTypeException as error:
                raise UserError(
                    f'parameter {p.name} ({p.description}) must be of type '
                    f'{type(p.default).__name__}, such as {p.default!r}.'
                ) from error
            except InvalidParameterValueException as error:
                raise UserError(
                    f'parameter {p.name} ({p.description}) must lie between {p.low:g} and '
                    f'{p.high:g}.'
                ) from error
        values[p.name] = node.get_parameter(p.name).value
    return values
