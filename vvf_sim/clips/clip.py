# SPDX-License-Identifier: Apache-2.0
"""One clip from its seed: who, where, what is done, and the frames of it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vvf_sim.cameras import make_renderer
from vvf_sim.clips.activities import Activity, Place, Push, Stack, Touch
from vvf_sim.clips.fixtures import Door, Drawer, Lid
from vvf_sim.clips.hand import SKIN, Hand, HandLooks
from vvf_sim.clips.kitchen import Pour, Stir, Wipe
from vvf_sim.clips.puppet import Puppet
from vvf_sim.clips.stage import Stage
from vvf_sim.clips.things import draw_colour
from vvf_sim.clips.vessels import draw_bowl, draw_thing
from vvf_sim.errors import UserError

# How often each is done, relative to the others.
ACTIVITIES: dict[type[Activity], float] = {
    Place: 5.0,
    Push: 2.0,
    Pour: 2.0,
    Stir: 1.5,
    Stack: 2.0,
    Wipe: 1.5,
    Touch: 0.7,
    Drawer: 1.5,
    Lid: 1.5,
    Door: 1.5,
}
# Part of the clips in which the hand goes back in the end.
_WITHDRAWN = 0.6


@dataclass(frozen=True)
class ClipConfig:
    """What clips are like.

    Attributes:
        image_size: height and width in pixels.
        fps: frames a second; readers take 5 of each second if nothing else is said.
        least: fewest frames of a clip.
        most: most frames; what is being done may end there unfinished.
        renderer: auto, egl, osmesa or ray.
    """

    image_size: int = 128
    fps: int = 5
    least: int = 10
    most: int = 150
    renderer: str = 'auto'

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            UserError: one is out of range.
        """
        if not 16 <= self.image_size <= 1024:
            raise UserError(f'image_size is {self.image_size}: use 16 to 1024 pixels.')
        if not 1 <= self.fps <= 60:
            raise UserError(f'fps is {self.fps}: use 1 to 60 frames a second.')
        if not 2 <= self.least <= self.most:
            raise UserError(
                f'clips of {self.least} to {self.most} frames: use at least 2, fewest first.'
            )


@dataclass(frozen=True)
class Clip:
    """A clip of T frames.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB.
        fps: frames a second.
        instruction: what is done, in words.
        activities: names of the kinds of what is done.
        seed: of the clip.
    """

    frames: NDArray[np.uint8]
    fps: int
    instruction: str
    activities: tuple[str, ...]
    seed: int


def make_clip(seed: int, config: ClipConfig | None = None) -> Clip:
    """Draw a clip; equal arguments give equal frames.

    Args:
        seed: not negative.
        config: what all clips share.
    """
    config = config or ClipConfig()
    rng = np.random.default_rng([seed, 17])
    stage = Stage(rng)
    activities = _draw_activities(stage)
    _clutter(stage)
    puppet = Puppet(stage, *_draw_hands(stage), rng, config.fps)
    size = config.image_size
    renderer = make_renderer(puppet.model, size, size, config.renderer)
    try:
        frames = []
        for _ in _lived(puppet, activities, config):
            frames.append(renderer.render(puppet.data, 'eye'))
            if len(frames) == config.most:
                break
    finally:
        renderer.close()
    return Clip(
        np.stack(frames),
        config.fps,
        ', then '.join(activity.instruction for activity in activities),
        tuple(type(activity).__name__.lower() for activity in activities),
        seed,
    )


def _lived(puppet: Puppet, activities: list[Activity], config: ClipConfig) -> Iterator[None]:
    """Yields once for every frame, and no sooner than after the fewest it ends."""
    before, after = puppet.rng.uniform([0.1, 0.1], [0.7, 0.9])
    # Where clips were cut out of longer films, hands need not have gone.
    gone = puppet.rng.random() < _WITHDRAWN
    count = 0
    for part in (
        puppet.wait(before),
        *(activity.act(puppet) for activity in activities),
        puppet.withdraw() if gone else (),
        puppet.wait(after),
    ):
        for _ in part:
            count += 1
            yield
    while count < config.least:
        for _ in puppet.wait(0.2):
            count += 1
            yield


def _draw_activities(stage: Stage) -> list[Activity]:
    rng = stage.rng
    kinds, shares = list(ACTIVITIES), np.array(list(ACTIVITIES.values()))
    count = int(rng.choice([1, 2, 3], p=[0.72, 0.2, 0.08]))
    # Furniture needs the far end of the table, so there is one piece at most.
    large = {Drawer, Lid, Door}
    drawn: list[Activity] = []
    for _ in range(count):
        kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
        if kind in large and any(type(activity) in large for activity in drawn):
            kind = Place
        drawn.append(kind(stage))
    return drawn


def _clutter(stage: Stage) -> None:
    """Things that nothing is done with."""
    rng = stage.rng
    for _ in range(int(rng.integers(0, 7))):
        thing = draw_bowl(rng) if rng.random() < 0.15 else draw_thing(rng)
        far = rng.random() < 0.5
        area = ((0.42, -0.35), (0.58, 0.35)) if far else ((0.14, -0.3), (0.46, 0.3))
        stage.put(thing, stage.spot(thing.radius, area))


def _draw_hands(stage: Stage) -> tuple[Hand, Hand | None]:
    rng = stage.rng
    side = 1 if rng.random() < 0.8 else -1
    place = float(rng.uniform(0.0, len(SKIN) - 1.001))
    lighter, darker = (np.array(SKIN[int(place) + i]) for i in (0, 1))
    r, g, b = (float(v) for v in lighter + (place - int(place)) * (darker - lighter))
    size, bare = float(rng.uniform(0.9, 1.12)), float(rng.choice([0.03, 0.08, 0.25]))
    _, sleeve = draw_colour(rng)
    looks = [HandLooks(s, size, (r, g, b), sleeve, bare) for s in (side, -side)]
    hand = Hand(stage.spec, 'hand', looks[0])
    other = Hand(stage.spec, 'other_hand', looks[1]) if rng.random() < 0.35 else None
    return hand, other
