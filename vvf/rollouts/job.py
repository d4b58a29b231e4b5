# SPDX-License-Identifier: Apache-2.0
"""What a rollout is asked for, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vvf.errors import UserError
from vvf.value_gate import GateConfig
from vvf_sim.disturbances import Disturbance
from vvf_sim.registry import CONTROL_HZ
from vvf_sim.worlds.world_config import WorldConfig


@dataclass(frozen=True)
class RolloutJob:
    """One episode to try; small enough to send to another process.

    Attributes:
        policy: folder of its checkpoint.
        task: a name of `vvf_sim.registry`.
        config: what varies with the seed.
        seed: of scene, latency, the policy's draws, and what disturbs it.
        max_steps: upper bound on actions.
        execute: steps that are executed of each chunk.
        rate_hz: actions per second.
        guidance: how far beyond its data RECAP's policy goes; None for the checkpoint's.
        temperature: of the noise that its chunks are drawn from; the same.
        candidates: of a policy that has a Q, from how many draws it takes the best.
        patience: steps that an error may last before the human stand-in takes over; 0: nobody
            watches.
        stalled: steps without a milestone before who watches takes over, too; 0: never.
        value: folder of a value model that watches, as a gate needs.
        gate: what is done when the progress falls.
        disturbance: what is done to the policy; None for nothing.
        record: file (.npz) to keep the episode in, for training.
        instruction: what the policy is asked to do; '' for what the world asks for.
    """

    policy: Path
    task: str
    config: WorldConfig
    seed: int
    max_steps: int
    execute: int = 1
    rate_hz: float = CONTROL_HZ
    guidance: float | None = None
    temperature: float | None = None
    candidates: int = 1
    patience: int = 0
    stalled: int = 0
    value: Path | None = None
    gate: GateConfig = field(default_factory=GateConfig)
    disturbance: Disturbance | None = None
    record: Path | None = None
    instruction: str = ''

    def __post_init__(self) -> None:
        """Checks what only fits together.

        Raises:
            UserError: a gate has no value model.
        """
        if self.gate.reaction != 'none' and self.value is None:
            raise UserError('a value gate needs a value model: name its checkpoint.')


@dataclass(frozen=True)
class Rollout:
    """How one episode went.

    Attributes:
        seed: of the episode.
        success: whether it succeeded, at whatever step; who did it is not asked here.
        steps: actions until then, or in all.
        failure_kind: why it did not; '' for a success.
        milestones: names of those reached, in order; some can be reached several times.
        errors: the same of errors.
        takeovers: how often the human stand-in took over.
        human_steps: actions of theirs, of `steps`.
        falls: stamps (s) at which the gate noticed a fall of the progress.
        disturbed_at: stamp (s) of the disturbance; NaN without.
        path: file of the recorded episode; None without.
        progress: what the value model said of each observation before an action; () without.
    """

    seed: int
    success: bool
    steps: int
    failure_kind: str
    milestones: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    takeovers: int = 0
    human_steps: int = 0
    falls: tuple[float, ...] = ()
    disturbed_at: float = float('nan')
    path: Path | None = None
    progress: tuple[float, ...] = ()
