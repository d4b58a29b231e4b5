# SPDX-License-Identifier: Apache-2.0
"""Frozen dataclasses from YAML data and back, with one-sentence errors that name the entry."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from vvf.errors import UserError


def to_plain(value: Any) -> Any:
    """Return dataclasses as dicts and tuples as lists, without entries that are None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
        return {key: to_plain(item) for key, item in pairs if item is not None}
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [to_plain(item) for item in value]
    return value


def build(kind: Any, value: Any, where: str, key: str) -> Any:
    """Build a value of the annotated type `kind` from YAML data, or raise a UserError."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, value, where, key)
    if origin in (typing.Union, types.UnionType):
        options = [a for a in arguments if a is not type(None)]
        return None if value is None else build(options[0], value, where, key)
    if origin is Literal:
        if value not in arguments:
            choices = ', '.join(map(str, arguments))
            raise UserError(f"{where}: {key} must be one of {choices}, it is '{value}'")
        return value
    if origin is tuple:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise UserError(f"{where}: {key} must be a list, it is '{value}'")
        return tuple(build(arguments[0], v, where, f'{key}[{i}]') for i, v in enumerate(value))
    if origin is Mapping:
        if not isinstance(value, dict):
            raise UserError(f"{where}: {key} must be a mapping, it is '{value}'")
        return {build(str, k, where, key): build(arguments[1], v, where, key)
                for k, v in value.items()}  # fmt: skip
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is Any:
        return value
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UserError(f"{where}: {key} must be of type {kind.__name__}, it is '{value}'")
    return value


def _build_dataclass(kind: Any, value: Any, where: str, key: str) -> Any:
    if not isinstance(value, dict):
        raise UserError(f"{where}: {key} must be a mapping, it is '{value}'")
    hints = typing.get_type_hints(kind)
    prefix = f'{key}.' if key else ''
    unknown = [str(k) for k in value if k not in hints]
    if unknown:
        raise UserError(
            f"{where}: '{prefix}{unknown[0]}' is not a known entry; known: {', '.join(hints)}"
        )
    for item in dataclasses.fields(kind):
        no_default = item.default is item.default_factory is dataclasses.MISSING
        if no_default and item.name not in value:
            raise UserError(f"{where}: the entry '{prefix}{item.name}' is missing")
    return kind(**{k: build(hints[k], v, where, f'{prefix}{k}') for k, v in value.items()})
