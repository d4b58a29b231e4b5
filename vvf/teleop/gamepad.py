# SPDX-License-Identifier: Apache-2.0
"""Axes and buttons of a gamepad (`sensor_msgs/Joy`) to motion and commands.

Motion needs the deadman button, and a pad that falls silent moves nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vvf.errors import UserError
from vvf.paths import config_path
from vvf.schema import build
from vvf.teleop.commands import AXES, Array, Command

_FUTURE_S = 0.1
_OUTSIDE = 1.01  # what rounding may make of a full deflection


@dataclass(frozen=True)
class PadAxis:
    """What moves one axis: a stick's `axis`, or a pair of buttons. An index of -1 is none."""

    axis: int = -1
    plus: int = -1
    minus: int = -1
    scale: float = 1.0


@dataclass(frozen=True)
class PadMapping:
    """A file of ``config/teleop``: the indices in a pad's messages.

    A button of ``commands`` is an index, or a list of two: the first is held while the second is
    pressed. The emergency stop heeds no such other button.
    """

    deadman: int
    motion: Mapping[str, PadAxis]
    commands: Mapping[str, Any]
    deadzone: float = 0.1

    def buttons(self, command: str) -> tuple[int, int]:
        """The button that is held (-1: none) and the one that is pressed."""
        given = self.commands[command]
        return (given[0], given[1]) if isinstance(given, list) else (-1, given)

    def indices(self) -> Iterator[int]:
        """All buttons that the mapping names."""
        yield self.deadman
        for axis in self.motion.values():
            yield from (axis.plus, axis.minus)
        for command in self.commands:
            yield from self.buttons(command)


def load_mapping(name_or_path: str) -> PadMapping:
    """Load the mapping of a pad by path, or by name from ``config/teleop``.

    Raises:
        UserError: there is no such file, or it is wrong.
    """
    path = Path(name_or_path)
    if path.suffix not in ('.yaml', '.yml') and os.sep not in name_or_path:
        path = config_path('teleop', f'{name_or_path}.yaml')
    if not path.is_file():
        known = ', '.join(sorted(p.stem for p in config_path('teleop').glob('*.yaml')))
        raise UserError(f'there is no gamepad {name_or_path!r}; known: {known}, or give a path.')
    try:
        data = yaml.safe_load(path.read_text('utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f'gamepad file {path} cannot be read: {error}') from error
    where = f'gamepad file {path}'
    mapping: PadMapping = build(PadMapping, data, where, '')
    known_commands = {c.value for c in Command}
    for kind, given, known_names in (
        ('motion', mapping.motion, set(AXES)),
        ('commands', mapping.commands, known_commands),
    ):
        if unknown := sorted(set(given) - known_names):
            raise UserError(f'{where}: {kind} has no {unknown[0]!r}; known: {sorted(known_names)}')
    for name, entry in mapping.commands.items():
        pair = entry if isinstance(entry, list) else [entry, entry]
        if len(pair) != 2 or not all(type(i) is int and i >= 0 for i in pair):
            raise UserError(f'{where}: commands.{name} is a button, or a list of two')
    if mapping.deadman < 0 or not 0.0 <= mapping.deadzone < 1.0:
        raise UserError(f'{where}: deadman must be a button, and deadzone lie in [0, 1)')
    return mapping


@dataclass
class Gamepad:
    """The newest state of a pad.

    Args:
        mapping: of its axes and buttons.
        timeout_s: longest silence after which its sticks still count.

    Attributes:
        refused: messages that were no state of this pad.
    """

    mapping: PadMapping
    timeout_s: float
    refused: int = 0
    _axes: Array = field(default_factory=lambda: np.zeros(0))
    _buttons: frozenset[int] | None = None
    _heard: float = -np.inf

    def take(
        self, axes: Sequence[float], buttons: Sequence[int], now: float, age: float = 0.0
    ) -> tuple[list[Command], str]:
        """Take a message that is `age` seconds old by its stamp.

        Returns:
            The commands whose button went down with it, and why it was refused ('': it was not).
        """
        numbers = np.asarray(axes, np.float64)
        why = self._wrong(numbers, len(buttons), age)
        if why:
            self.refused += 1
            return [], why
        before = self._buttons
        pressed = frozenset(i for i, b in enumerate(buttons) if b)
        self._axes, self._buttons, self._heard = numbers, pressed, now
        return list(self._commands(before, pressed)), ''

    def alive(self, now: float) -> bool:
        """Whether the pad was heard lately."""
        return now - self._heard <= self.timeout_s

    def deadman(self, now: float) -> bool:
        """Whether the button is held without which nothing moves."""
        held = self._buttons is not None and self.mapping.deadman in self._buttons
        return held and self.alive(now)

    def direction(self, now: float) -> Array:
        """Wanted velocity, (6,) in [-1, 1]; zero without the deadman button or a living pad."""
        wanted = np.zeros(len(AXES))
        if not self.deadman(now) or self._buttons is None:
            return wanted
        for name, source in self.mapping.motion.items():
            value = 0.0
            if source.axis >= 0:
                value += self._dead(float(self._axes[source.axis]))
            # With another button held, the same buttons are commands.
            if not self._held & self._buttons:
                value += (source.plus in self._buttons) - (source.minus in self._buttons)
            wanted[AXES.index(name)] = np.clip(source.scale * value, -1.0, 1.0)
        return wanted

    @property
    def _held(self) -> frozenset[int]:
        """The buttons that make commands of others."""
        return frozenset(self.mapping.buttons(c)[0] for c in self.mapping.commands) - {-1}

    def _dead(self, value: float) -> float:
        """A stick's deflection without its dead zone, continuous at its edge."""
        zone = self.mapping.deadzone
        return float(np.sign(value)) * max(abs(value) - zone, 0.0) / (1.0 - zone)

    def _wrong(self, axes: Array, buttons: int, age: float) -> str:
        if not -_FUTURE_S <= age <= self.timeout_s:
            return f'the gamepad sends what is {age:.2f} s old: do the clocks agree?'
        if not np.isfinite(axes).all() or (np.abs(axes) > _OUTSIDE).any():
            return 'the gamepad sends axes that are no numbers in [-1, 1]'
        last_axis = max((a.axis for a in self.mapping.motion.values()), default=-1)
        last_button = max(self.mapping.indices())
        if last_axis >= len(axes) or last_button >= buttons:
            return (
                f'the gamepad has {len(axes)} axes and {buttons} buttons, the mapping names axis '
                f'{last_axis} and button {last_button}: choose another with gamepad:='
            )
        return ''

    def _commands(
        self, before: frozenset[int] | None, pressed: frozenset[int]
    ) -> Iterator[Command]:
        shift = bool(self._held & pressed)
        for name in self.mapping.commands:
            held, button = self.mapping.buttons(name)
            if name == Command.STOP.value:
                if button in pressed and button not in (before or ()):
                    yield Command.STOP
                continue
            if before is None:  # what is down in the very first message was not pressed now
                continue
            right = held in pressed if held >= 0 else not shift
            if right and button in pressed - before:
                yield Command(name)
