# SPDX-License-Identifier: Apache-2.0
"""Whether a camera delivers what was asked of it: said once, and again when it changes."""

from __future__ import annotations

_SLOW, _FINE = 0.9, 0.95  # of the rate that was asked for; between them nothing changes
_OTHER = 0.15  # a slow camera is spoken of again when its rate has changed by this part
_REPEATS = 0.2
_SETTLED_S = 3.0


class DeliveryWatch:
    """Compares the delivered with the wanted rate.

    Args:
        wanted_hz: what was asked for; 0: anything is right.

    Attributes:
        complaint: what is wrong now, in words; '' where nothing is.
    """

    def __init__(self, wanted_hz: float) -> None:
        self._wanted = wanted_hz
        self._said_hz = 0.0
        self._repeating = False
        self._since: float | None = None
        self.complaint = ''

    def begin_anew(self) -> None:
        """The source was away: its rate says nothing until it has settled."""
        self._since = None

    def update(self, now_s: float, rate_hz: float, repeats: float, promised_hz: float) -> str:
        """Look at the rate again.

        Args:
            now_s: any steady clock.
            rate_hz: frames per second that came.
            repeats: part of them that repeated the one before.
            promised_hz: what the driver promised; 0 where it did not.

        Returns:
            What to tell the user: a new complaint, that the old one is over, or ''.
        """
        if self._since is None:
            self._since = now_s
        if now_s - self._since < _SETTLED_S:
            return ''
        before = self.complaint
        if self._is_slow(rate_hz):
            if not self._said_hz or abs(rate_hz - self._said_hz) > _OTHER * self._said_hz:
                self._said_hz = rate_hz
                self.complaint = self._slow(rate_hz, promised_hz)
        elif repeats > _REPEATS:
            self._said_hz = 0.0
            if not self._repeating:
                self.complaint = (
                    f'{repeats:.0%} of the frames repeat the one before: the camera takes '
                    f'{rate_hz * (1.0 - repeats):.0f} pictures a second, not {rate_hz:.0f}'
                )
        else:
            self._said_hz, self.complaint = 0.0, ''
        self._repeating = not self._said_hz and bool(self.complaint)
        if self.complaint == before:
            return ''
        return self.complaint or f'delivers {rate_hz:.1f} Hz as asked again'

    def _is_slow(self, rate_hz: float) -> bool:
        limit = _FINE if self._said_hz else _SLOW
        return bool(self._wanted) and rate_hz < limit * self._wanted

    def _slow(self, rate_hz: float, promised_hz: float) -> str:
        said = f'delivers {rate_hz:.1f} of {self._wanted:g} Hz'
        if promised_hz and promised_hz < _SLOW * self._wanted:
            return f'{said}: at this size its driver promises {promised_hz:g} Hz only'
        return (
            f'{said}, though its driver promises more: too little light for its exposure, or '
            'too little bandwidth on its USB bus (docs/cameras.md)'
        )
