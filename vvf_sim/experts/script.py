# SPDX-License-Identifier: Apache-2.0
"""What every scripted expert is: privileged state in, displacements of the commanded tip out.

What makes a script's data good to learn from: it never waits, it decides by what a camera could
see, takes the nearest of equivalent ways, corrects disturbances and tries again after a miss. The
label is the clean action; noise is added to what is executed.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from vvf_sim.controllers import CartesianTarget
from vvf_sim.errors import UserError
from vvf_sim.experts.config import ExpertConfig
from vvf_sim.rotations import Array, rotation_log
from vvf_sim.worlds.world import World

# Largest displacements of one action, m and rad; noise comes on top.
STEP = 0.045
TURN = 0.6


class Script(ABC):
    """Acts on a world through the commanded tips of its arms.

    A subclass gives `plan`, `clean` and `finished`, calls `enter` when its phase changes, and may
    say in `NOISE` how much of the noise each phase bears (0 for those not named).

    Args:
        world: after its reset.
        targets: what the actions will be applied to, one for each arm; read, not moved.
        config: how well it does.
        seed: of noise and mistakes.

    Attributes:
        mistake: what it is about to do wrong, or ''.
        recovers: whether it notices that and tries again.
        phase: what it is doing.
        steps: actions since the phase began.
    """

    MISTAKES: ClassVar[tuple[str, ...]] = ()
    NOISE: ClassVar[dict[str, float]] = {}
    # Phases in which it may be pushed.
    KICKED: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        world: World[Any],
        targets: Sequence[CartesianTarget],
        config: ExpertConfig | None = None,
        seed: int = 0,
    ) -> None:
        self.world: Any = world
        self.targets = tuple(targets)
        self.config = config or ExpertConfig()
        self.seed = seed
        self.phase = ''
        self.steps = 0
        self.rng = np.random.default_rng([seed, 7])
        self.mistake = self._draw_mistake()
        self.recovers = bool(self.rng.random() < self.config.recovery_probability)
        self.plan()

    @abstractmethod
    def plan(self) -> None:
        """Decide what does not depend on how things go; called once, at the end of the making."""

    @property
    @abstractmethod
    def finished(self) -> bool:
        """Whether the script is done, or has given up."""

    @abstractmethod
    def clean(self) -> Array:
        """The next action (7 numbers for each arm) if nothing disturbs it."""

    def act(self) -> tuple[Array, Array]:
        """The clean action and the one to execute, which is disturbed."""
        clean = self.clean()
        self.steps += 1
        return clean, self.disturb(clean)

    def enter(self, phase: str) -> None:
        """Begin a phase."""
        self.phase = phase
        self.steps = 0

    def tip(self, arm: int = 0) -> Array:
        """Commanded pose (4, 4) of an arm's tip in the table frame."""
        return np.asarray(self.world.arms[arm].to_table(self.targets[arm].pose))

    def tip_yaw(self, arm: int = 0) -> float:
        """Yaw in rad of a gripper that points down."""
        rotation = self.tip(arm)[:3, :3]
        return float(np.arctan2(-rotation[0, 1], rotation[1, 1]))

    def towards(
        self,
        place: Array,
        rotation: Array | None,
        opening: float,
        arm: int = 0,
        step: float = STEP,
        turn: float = TURN,
    ) -> Array:
        """The action (7,) of one arm that brings its tip nearer to a pose of the table frame.

        Args:
            place: (3,) in m.
            rotation: (3, 3), or None to keep what is commanded.
            opening: 1 open, 0 closed.
            arm: which.
            step: largest translation in m.
            turn: largest rotation in rad.
        """
        pose = self.tip(arm)
        move = np.asarray(place, np.float64) - pose[:3, 3]
        move *= min(1.0, step / max(float(np.linalg.norm(move)), 1e-9))
        turned = np.zeros(3)
        if rotation is not None:
            turned = rotation_log(rotation @ pose[:3, :3].T)
            turned *= min(1.0, turn / max(float(np.linalg.norm(turned)), 1e-9))
        back = self.world.arms[arm].base[:3, :3].T
        return np.concatenate([back @ move, back @ turned, [opening]])

    def disturb(self, clean: Array) -> Array:
        """What is executed instead of a clean action: noise, and now and then a push."""
        config, rng = self.config, self.rng
        scale = self.NOISE.get(self.phase, 0.0)
        turn_scale = np.array([0.33, 0.33, 1.0])
        executed = clean.copy()
        for part in executed.reshape(-1, 7):
            part[:3] += scale * config.step_noise_m * rng.normal(size=3)
            part[3:6] += scale * config.step_noise_rad * rng.normal(size=3) * turn_scale
            kicked = rng.random() < config.kick_probability
            if kicked and self.phase in self.KICKED:
                part[:3] += config.kick_m * rng.normal(size=3) * np.array([1.0, 1.0, 0.6])
                part[3:6] += config.kick_rad * rng.normal(size=3) * turn_scale
        return executed

    def _draw_mistake(self) -> str:
        config = self.config
        wanted = config.mistakes or self.MISTAKES
        for mistake in wanted:
            if mistake not in self.MISTAKES:
                raise UserError(f'mistake {mistake!r} is unknown: use {", ".join(self.MISTAKES)}.')
        if not wanted or self.rng.random() >= config.mistake_probability:
            return ''
        return str(self.rng.choice(wanted))
