# SPDX-License-Identifier: Apache-2.0
"""What a user sets of the parameters of a graph's nodes, checked before anything starts.

ROS passes over a parameter or a node that it does not know, and a typing error stays unseen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from vvf.errors import UserError
from vvf.node_spec import NodeSpec
from vvf.paths import config_path

_EVERY = '/**'
_KEY = 'ros__parameters'


def with_file(specs: Sequence[NodeSpec], path: Path) -> list[NodeSpec]:
    """A graph with the parameters of a ROS parameter file, `NODE: {ros__parameters: ...}`.

    Args:
        specs: the graph; the parameters that it sets itself stay.
        path: the file. `/**` stands for every node that has the parameter.

    Raises:
        UserError: it cannot be read, or names a node or a parameter that the graph has not.
    """
    try:
        entries = yaml.safe_load(path.read_text('utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f'params_file: {path} is no YAML file that can be read.') from error
    if not isinstance(entries, dict) or not all(
        isinstance(entry, dict) and isinstance(entry.get(_KEY), dict) for entry in entries.values()
    ):
        raise UserError(f'params_file: {path} must hold "NODE:" and below it "{_KEY}:".')
    given = (
        (str(node).removeprefix('/') if node != _EVERY else _EVERY, str(name), value)
        for node, entry in entries.items()
        for name, value in entry[_KEY].items()
    )
    return _with(specs, given, f'params_file: {path}: ')


def with_settings(specs: Sequence[NodeSpec], settings: Sequence[str]) -> list[NodeSpec]:
    """A graph with parameters given as `NODE.PARAMETER=VALUE`.

    Raises:
        UserError: a text is none, or names a node or a parameter that the graph has not.
    """
    given = []
    for setting in settings:
        name, equals, text = setting.partition('=')
        node, dot, parameter = name.partition('.')
        if not equals or not dot:
            raise UserError(f'--set {setting}: write it as NODE.PARAMETER=VALUE.')
        try:
            given.append((node, parameter, yaml.safe_load(text)))
        except yaml.YAMLError as error:
            raise UserError(f'--set {setting}: the value is not valid YAML.') from error
    return _with(specs, given, '--set: ')


def _with(
    specs: Sequence[NodeSpec], given: Iterable[tuple[str, str, Any]], where: str
) -> list[NodeSpec]:
    own = {spec.name: spec for spec in specs if spec.package == 'vvf'}
    found: dict[str, dict[str, Any]] = {name: {} for name in own}
    for node, name, value in given:
        if node != _EVERY and node not in own:
            raise UserError(f'{where}there is no node {node!r}: there are {", ".join(own)}.')
        meant = [n for n in own if node in (n, _EVERY) and name in _defaults(own[n].executable)]
        if not meant:
            who = 'no node has a' if node == _EVERY else f'{node} has no'
            raise UserError(f'{where}{who} parameter {name!r}; config/nodes lists them.')
        for target in meant:
            if name in own[target].parameters:
                raise UserError(
                    f'{where}{target}.{name} follows from the arguments of the graph; set it there.'
                )
            default = _defaults(own[target].executable)[name]
            found[target][name] = _of_type(value, default, f'{where}{target}.{name}')
    return [
        replace(spec, parameters={**spec.parameters, **found.get(spec.name, {})}) for spec in specs
    ]


@cache
def _defaults(executable: str) -> Mapping[str, Any]:
    """The parameters of a kind of node, which a test keeps equal to what it declares."""
    file = yaml.safe_load(config_path('nodes', f'{executable}.yaml').read_text('utf-8'))
    parameters: dict[str, Any] = file[_EVERY][_KEY]
    return parameters


def _of_type(value: Any, default: Any, where: str) -> Any:
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if type(value) is not type(default):
        raise UserError(f'{where} must be a {type(default).__name__}, such as {default!r}.')
    return value
