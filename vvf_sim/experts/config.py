# SPDX-License-Identifier: Apache-2.0
"""How well the scripted expert does: noise, disturbances and designed mistakes."""

from dataclasses import dataclass, replace

from vvf_sim.errors import UserError


@dataclass(frozen=True)
class ExpertConfig:
    """How well the expert does.

    Attributes:
        step_noise_m: standard deviation of the noise on each executed translation, metres.
        step_noise_rad: of the noise on each executed turn about the vertical; a third of it
            about the other axes.
        kick_probability: of a disturbance in each step.
        kick_m: its standard deviation, metres.
        kick_rad: its turn's, rad.
        mistake_probability: of a designed mistake in an episode.
        mistakes: kinds it is drawn from; empty for all that the task's script knows.
        recovery_probability: of noticing a mistake and trying again.
        recover: whether a grasp that was missed by chance is tried again.
        accident_probability: in pick-and-place of losing the object once in an episode and not
            noticing at once: what is executed goes on with closed fingers, while the labels already
            go back for it. At a carton of straying in the middle of a stroke, for each stroke.
    """

    step_noise_m: float = 0.0
    step_noise_rad: float = 0.0
    kick_probability: float = 0.0
    kick_m: float = 0.025
    kick_rad: float = 0.3
    mistake_probability: float = 0.0
    mistakes: tuple[str, ...] = ()
    recovery_probability: float = 0.0
    recover: bool = True
    accident_probability: float = 0.0

    @classmethod
    def demonstrator(cls) -> 'ExpertConfig':
        """For imitation: small noise, kicks and accidents, no mistakes; labels stay clean.

        Without the accidents a policy never sees its fingers closed on nothing, and carries that
        to the container when it happens.
        """
        return cls(
            step_noise_m=0.005,
            step_noise_rad=0.08,
            kick_probability=0.08,
            accident_probability=0.5,
        )

    @classmethod
    def from_noise(cls, noise: float) -> 'ExpertConfig':
        """The dial: 0 nearly always succeeds, 1 as often as V-PTR's scripted data (30 %).

        Raises:
            UserError: the dial is outside [0, 1].
        """
        if not 0.0 <= noise <= 1.0:
            raise UserError(f'noise is {noise}: use 0 to 1.')
        return cls(
            step_noise_m=0.006 * noise,
            step_noise_rad=0.08 * noise,
            kick_probability=0.06 * noise,
            mistake_probability=0.76 * noise,
            recovery_probability=0.1 * noise,
        )

    def with_mistake(self, mistake: str) -> 'ExpertConfig':
        """The same expert, always making this mistake."""
        return replace(self, mistakes=(mistake,), mistake_probability=1.0, recovery_probability=0.0)
