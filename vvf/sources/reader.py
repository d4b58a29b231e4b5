# SPDX-License-Identifier: Apache-2.0
"""Reads a source in a thread of its own: stamps its frames, and notices what is wrong with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from vvf.diagnostics import Meter
from vvf.sources.base import Frame, FrameSource
from vvf.sources.delivery import DeliveryWatch
from vvf.sources.device import DeviceSource
from vvf.sources.freeze import FreezeWatch
from vvf.sources.names import why_absent
from vvf.sources.stamps import Stamper
from vvf.sources.video import VideoSource

OK, WARN, ERROR = 0, 1, 2
_RESTART_EVERY_S = 5.0
_CLOSE_S = 1.0
_SILENT_S = 1.0


class CameraReader:
    """A source, read until it ends or `close` is called.

    Args:
        source: where the frames come from; it is closed by the thread that reads it.
        stamper: gives them their stamps.
        put: takes a frame and its stamp in ns; says whether there was room for it.
        say: takes what the user should know: whether it is a warning, and a sentence.
        rate_hz: wanted rate; 0: that of the source.
        freeze_s: a picture that stays for longer is not handed on any more; 0: it always is.
        clock: a steady one.

    Attributes:
        meter: of the frames that came.
        published: frames that were handed on.
        dropped: frames for which there was no room.
        away: whether the source gives no frames.
        ended: whether it will give none any more.
    """

    def __init__(
        self,
        source: FrameSource,
        stamper: Stamper,
        put: Callable[[Frame, int], bool],
        say: Callable[[bool, str], None],
        *,
        rate_hz: float = 0.0,
        freeze_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._stamper, self._put, self._say = source, stamper, put, say
        self._device = source if isinstance(source, DeviceSource) else None
        self._video = source if isinstance(source, VideoSource) else None
        self._rate = rate_hz or source.rate_hz
        self._clock = clock
        self._freeze = FreezeWatch(freeze_s)
        self._delivery = DeliveryWatch(rate_hz)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name='camera', daemon=True)
        self._due = self._next_restart = clock()
        self._opened = 0
        self._warned_of_stamps = False
        self._said: tuple[str, ...] = ()
        self._damage = ''
        self._handed_s = clock()
        self._lock = threading.Lock()  # the meter and the watch on repeats are read elsewhere
        self.meter = Meter()
        self.published = 0
        self.dropped = 0
        self.away = False
        self.ended = False

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self) -> None:
        """Stop reading; a thread that waits for a silent device ends when that gives up."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=_CLOSE_S)

    def _run(self) -> None:
        try:
            while not self._stop.is_set() and not self.ended:
                self.step()
        finally:
            # Not by whoever calls `close`: a device must not be released while it is read.
            self._source.close()

    def step(self) -> None:
        """Read once."""
        frame = self._source.read()
        if self._stop.is_set():
            return  # who takes the frames may be gone by now
        if self._device is not None and self._device.opened != self._opened:
            self._note_opening(self._device)
        if self._video is not None and self._video.damage and not self._damage:
            self._damage = self._video.damage
            self._say(True, self._damage)
        if frame is None:
            self._note_absence()
            return
        if self.away:
            self.away = False
            self._say(False, 'the camera is back')
        now = self._clock()
        stamp = self._stamper.stamp(self._source.taken_s)
        self._note_stamps()
        was_frozen = self._freeze.frozen
        with self._lock:
            self.meter.add(now)
            frozen = self._device is not None and self._freeze.add(frame, now)
        if frozen:
            self._note_freeze(was_frozen)
            return
        if was_frozen:
            self._say(False, 'the picture moves again')
        if stamp is not None:
            taken = self._put(frame, stamp)
            self.published += taken
            self.dropped += not taken
            self._handed_s = now
        if self._device is None and self._rate:
            self._due += 1.0 / self._rate
            self._stop.wait(max(0.0, self._due - self._clock()))

    # -- what the user should know -----------------------------------------------------------

    def _note_opening(self, device: DeviceSource) -> None:
        self._opened = device.opened
        self._warned_of_stamps = False
        self._delivery.begin_anew()
        if device.opened == 1:
            self._say(False, f'{device.device} is open: {device.promised}')
            if device.advice:
                self._say(False, device.advice)
        if device.complaints != self._said:  # another socket may offer less
            self._said = device.complaints
            for complaint in device.complaints:
                self._say(True, f'the camera {complaint}')

    def _note_absence(self) -> None:
        self._delivery.begin_anew()
        if self._device is None:
            self.ended = True
            self._say(False, 'the video has ended')
        elif not self.away and not self._restarts():
            self.away = True
            device = self._device.device
            self._say(True, f'{device} gives no frames; trying again: {why_absent(device)}')

    def _restarts(self) -> bool:
        """Whether the device is away because it was frozen, and is opened again."""
        return self._freeze.frozen and self.meter.age_s(self._clock()) < _RESTART_EVERY_S

    def _note_stamps(self) -> None:
        stamper = self._stamper
        if stamper.set_back_s:
            self._say(True, f'the clock was set back by {stamper.set_back_s:.1f} s')
            stamper.set_back_s = 0.0
        if self._device is not None and not stamper.exact and not self._warned_of_stamps:
            self._warned_of_stamps = True
            self._say(True, 'the driver stamps no frames: their stamps are the times of arrival')

    def _note_freeze(self, was_frozen: bool) -> None:
        if not was_frozen:
            self._say(
                True,
                'the camera repeats the same picture: it is not published any more, and the '
                'camera is opened again',
            )
        assert self._device is not None
        if self._clock() >= self._next_restart:
            self._next_restart = self._clock() + _RESTART_EVERY_S
            self._device.restart()

    def report(self) -> tuple[int, str, dict[str, Any]]:
        """Level, message and values for the diagnostics; says what has changed.

        To be called about once a second.
        """
        now, device = self._clock(), self._device
        with self._lock:
            rate, repeats = self.meter.rate_hz(now), self._freeze.share
        promised = device.promised if device else None
        values: dict[str, Any] = {
            'rate_hz': rate,
            'age_s': self.meter.age_s(now),
            'frames': self.published,
            'dropped': self.dropped,
            'out_of_order': self._stamper.refused,
        }
        if device is None:
            if self._damage:
                return WARN, self._damage, values
            if self.ended:
                return OK, 'the video has ended', values
            slow = self._rate and self.meter.count and rate < 0.8 * self._rate
            return (
                (WARN, f'{rate:.1f} of {self._rate:.1f} Hz', values) if slow else (OK, 'ok', values)
            )
        values |= {
            'device': device.device,
            'asked': str(device.asked),
            'promised': str(promised or ''),
            'stamps': 'kernel' if self._stamper.exact else 'arrival',
            'repeated': self._freeze.repeated,
            'damaged': device.damaged,
            'reconnects': max(0, device.opened - 1),
        }
        patience = max(_SILENT_S, 3.0 / self._rate if self._rate else 0.0)
        if self.away or (values['age_s'] > patience and not self._restarts()):
            return ERROR, f'no frames: {why_absent(device.device)}', values
        if self._freeze.frozen:
            return ERROR, 'frozen: the camera repeats the same picture', values
        if now - self._handed_s > patience:
            return ERROR, 'nothing is published: the stamps of its frames do not advance', values
        promised_hz = promised.rate_hz if promised else 0.0
        if news := self._delivery.update(now, rate, repeats, promised_hz):
            self._say(bool(self._delivery.complaint), f'the camera {news}')
        complaints = [*device.complaints]
        if self._delivery.complaint:
            complaints.append(self._delivery.complaint)
        return (WARN, '; '.join(complaints), values) if complaints else (OK, 'ok', values)
