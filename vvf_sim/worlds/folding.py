# SPDX-License-Identifier: Apache-2.0
"""Folding a shirt or a pair of pants with two arms: ViVa's cloth tasks.

A garment of about 20 by 24 cm lies flat on the table, a little wrinkled. Shirt: the left sleeve
and side in, then the right, then the bottom up. Pants: the left leg over the right, then in half.
The two arms face each other across the table and take the two ends of what is folded; a single
arm crumples it. How cloth is held is a model, see `vvf_sim.worlds.cloth`. The arms pass through
each other and through cloth that they do not hold; their experts keep them apart.
"""

from dataclasses import dataclass
from typing import ClassVar

from vvf_sim.worlds.cloth_garments import PANTS, SHIRT, Garment
from vvf_sim.worlds.folding_world import FoldingWorld
from vvf_sim.worlds.world_config import WorldConfig


@dataclass(frozen=True)
class ShirtFoldingConfig(WorldConfig):
    """What may vary; nothing besides what every world lets vary."""


class ShirtFoldingWorld(FoldingWorld):
    """A T-shirt; see `FoldingWorld`."""

    GARMENT: ClassVar[Garment] = SHIRT

    def __init__(self, config: ShirtFoldingConfig | None = None) -> None:
        super().__init__(config or ShirtFoldingConfig())

    @property
    def instruction(self) -> str:
        """What a person would ask for."""
        return 'fold the shirt: the left side in, the right side in, then the bottom up'


@dataclass(frozen=True)
class PantsFoldingConfig(WorldConfig):
    """What may vary; nothing besides what every world lets vary."""


class PantsFoldingWorld(FoldingWorld):
    """A pair of pants; see `FoldingWorld`."""

    GARMENT: ClassVar[Garment] = PANTS

    def __init__(self, config: PantsFoldingConfig | None = None) -> None:
        super().__init__(config or PantsFoldingConfig())

    @property
    def instruction(self) -> str:
        """What a person would ask for."""
        return 'fold the pants: the left leg over the right, then in half'
