# SPDX-License-Identifier: Apache-2.0
"""Shows how far a capture is, wherever somebody looks: a terminal, a file, an image topic."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from PIL import Image
from rich.console import Console
from rich.live import Live

from vvf.calibration.capture import Verdict, Views
from vvf.calibration.capture_screen import picture as draw
from vvf.calibration.capture_screen import terminal
from vvf.calibration.pictures import Picture, Pictures
from vvf.cli.output import progress_bar

_PAUSE_S = 0.3
_NOTHING = Verdict(False, 'no image comes')


class Watch:
    """A context manager; a live capture has a screen, a recorded one a progress bar.

    Args:
        views: what is filled.
        live: see above.
        preview: a PNG that is written again and again, for those without a terminal or a window.
        node: a `vvf.calibration.live.CaptureNode` that shows the same picture, if any.
    """

    def __init__(
        self, views: Views, *, live: bool, preview: Path | None = None, node: Any = None
    ) -> None:
        self._views, self._preview, self._node = views, preview, node
        console = Console()
        self._lines = live and not console.is_terminal
        self._screen = Live(console=console, auto_refresh=False) if live else None
        self._bar = None if live else progress_bar('images', console)
        self._drawn = 0.0

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._task = self._bar.add_task('looking for the board', total=None)
        shown = self._screen or self._bar
        if shown is not None and not self._lines:
            shown.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shown = self._screen or self._bar
        if shown is not None and not self._lines:
            shown.__exit__(kind, error, trace)

    def counted(self, pictures: Pictures, total: int | None = None) -> Iterator[Picture | None]:
        """The pictures, counted by the progress bar."""
        for picture in pictures:
            yield picture
            if self._bar is not None:
                self._bar.update(self._task, advance=1, total=total)

    def show(self, picture: Picture | None, verdict: Verdict | None) -> None:
        """Show what became of a picture; `None` for none that came."""
        said = verdict or _NOTHING
        if self._lines and said.taken:
            print(self._line(said), file=sys.stderr, flush=True)
        elif self._screen is not None and not self._lines:
            self._screen.update(terminal(self._views, said), refresh=True)
        if picture is None:
            return
        now = time.monotonic()
        if said.taken or now - self._drawn > _PAUSE_S:
            self._drawn = now
            self._draw(picture, said)

    def _line(self, verdict: Verdict) -> str:
        assert self._views.coverage is not None
        missing = self._views.coverage.missing()
        return verdict.reason + (f'; {missing[0]}' if missing else '')

    def _draw(self, picture: Picture, verdict: Verdict) -> None:
        watched = self._node is not None and self._node.watched
        if not watched and self._preview is None:
            return
        drawn = draw(self._views, verdict, picture.image)
        if watched:
            self._node.show(drawn)
        if self._preview is not None:
            self._preview.parent.mkdir(parents=True, exist_ok=True)
            half = self._preview.with_name(f'.{self._preview.name}.part')
            Image.fromarray(drawn).save(half, 'png')
            half.replace(self._preview)
