# SPDX-License-Identifier: Apache-2.0
"""Dataclass configurations to and from plain YAML mappings, checked key by key."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from vvf_models.errors import UserError

T = TypeVar('T')


def to_mapping(config: Any) -> dict[str, Any]:
    """Turns a dataclass into a mapping of YAML-safe values (tuples become lists)."""
    result: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        result[field.name] = list(value) if isinstance(value, tuple) else value
    return result


def from_mapping(
    cls: type[T], mapping: Mapping[str, Any], where: str, *, partial: bool = False
) -> T:
    """Builds a dataclass from a mapping.

    Args:
        cls: The dataclass.
        mapping: Its values, as YAML gives them.
        where: What to call the source in an error, e.g. a file name.
        partial: Whether keys may be left out, taking the dataclass's defaults.

    Raises:
        UserError: A key is unknown, missing or of the wrong type; the message names it.
    """
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f'{cls.__name__} is not a dataclass')
    hints = get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    unknown = sorted(set(mapping) - set(names))
    if unknown:
        raise UserError(f'{where}: unknown key "{unknown[0]}"; the keys are {", ".join(names)}.')
    missing = [name for name in names if name not in mapping]
    if missing and not partial:
        raise UserError(f'{where}: the key "{missing[0]}" is missing; add it.')
    values = {
        name: _convert(value, hints[name], f'{where}: "{name}"') for name, value in mapping.items()
    }
    return cls(**values)


def _convert(value: Any, hint: Any, where: str) -> Any:
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise UserError(f'{where} must be a list, not {value!r}.')
        item = get_args(hint)[0]
        return tuple(_convert(element, item, where) for element in value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    # A bool is an int to Python, but "steps: true" is a mistake.
    if hint is int and isinstance(value, bool):
        raise UserError(f'{where} must be a number, not {value!r}.')
    if not isinstance(value, hint):
        raise UserError(f'{where} must be {hint.__name__}, not {value!r}.')
    return value
