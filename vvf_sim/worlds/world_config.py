# SPDX-License-Identifier: Apache-2.0
"""What of every world may vary; a world's own configuration adds to it."""

from dataclasses import dataclass

from vvf_sim.errors import UserError
from vvf_sim.robots.arm import ARMS
from vvf_sim.worlds.domain import check_axes
from vvf_sim.worlds.names import Setting
from vvf_sim.worlds.variation import check_setting


@dataclass(frozen=True)
class WorldConfig:
    """What every world lets vary.

    Attributes:
        arm: wx250s, fer or fr3.
        setting: `train`, `held_out` or `any`; see `vvf_sim.worlds.variation`.
        axes: domain axes that are switched on; see `vvf_sim.worlds.domain`.
        cameras: those that are drawn; empty for all that the world has.
        image_size: height and width of images in pixels.
        renderer: auto, egl, osmesa or ray.
    """

    arm: str = 'wx250s'
    setting: Setting = 'train'
    axes: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    image_size: int = 128
    renderer: str = 'auto'

    def __post_init__(self) -> None:
        """Check names and ranges.

        Raises:
            UserError: a name or number is not one that the world knows.
        """
        if self.arm not in ARMS:
            raise UserError(f'arm {self.arm!r} is unknown: use {", ".join(ARMS)}.')
        check_setting(self.setting)
        check_axes(self.axes)
        if not 16 <= self.image_size <= 1024:
            raise UserError(f'image_size is {self.image_size}: use 16 to 1024 pixels.')
