# SPDX-License-Identifier: Apache-2.0
"""One node of a graph as plain data, for `ros2 launch` and for `vvf up` alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vvf.paths import config_path


@dataclass(frozen=True)
class NodeSpec:
    """One process of the graph.

    Attributes:
        executable: name of the console script, and of the module under `vvf.nodes`.
        name: node name; parameters given here override those of `config/nodes/<executable>.yaml`.
        respawn: start again when it dies; nodes that hold no irreplaceable state can.
        stop_first: stopped (and waited for) before all others: what moves.
    """

    executable: str
    name: str
    package: str = 'vvf'
    namespace: str = ''
    parameters: Mapping[str, Any] = field(default_factory=dict)
    remappings: tuple[tuple[str, str], ...] = ()
    respawn: bool = True
    stop_first: bool = False

    @property
    def parameter_file(self) -> Path:
        """The commented defaults of this kind of node."""
        return config_path('nodes', f'{self.executable}.yaml')
