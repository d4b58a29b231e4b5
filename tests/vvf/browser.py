# SPDX-License-Identifier: Apache-2.0
"""A real headless browser, driven over a pipe with the Chrome DevTools Protocol.

No driver package and no port: Chromium reads commands from file descriptor 3 and answers on 4,
JSON between zero bytes. Events are the browser's own, as if a person had moved the pointer.

`python -m tests.vvf.browser PAGE.html OUT.png` takes a screenshot.
"""

import argparse
import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
QUIET = (
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--disable-dev-shm-usage', '--hide-scrollbars', '--remote-debugging-pipe',
)  # fmt: skip
PHONE = (390, 844)
DESKTOP = (1280, 900)


def find_browser() -> str | None:
    """The browser: that of $VVF_BROWSER, or the first known one on the path."""
    named = os.environ.get('VVF_BROWSER')
    return named or next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One tab; a context manager."""

    def __init__(self, program: str, profile: Path, more: tuple[str, ...] = ()) -> None:
        down, up = os.pipe(), os.pipe()

        def take_over() -> None:
            # 3 and 4 may be ends of these pipes themselves.
            read, write = os.dup(down[0]), os.dup(up[1])
            os.dup2(read, 3)
            os.dup2(write, 4)

        self._process = subprocess.Popen(
            [program, *QUIET, *more, f'--user-data-dir={profile}', 'about:blank'],
            preexec_fn=take_over, pass_fds=(3, 4, down[0], up[1]),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(down[0])
        os.close(up[1])
        self._down, self._up = os.fdopen(down[1], 'wb', 0), os.fdopen(up[0], 'rb')
        self._numbers = itertools.count(1)
        self._rest = b''
        self.events: list[dict[str, Any]] = []
        target = self._send('Target.createTarget', url='about:blank')['targetId']
        self._session = ''
        self._session = self._send('Target.attachToTarget', targetId=target, flatten=True)[
            'sessionId'
        ]
        for domain in ('Page', 'Runtime', 'Network'):
            self._send(f'{domain}.enable')

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._down.close()
        self._up.close()
        self._process.terminate()
        self._process.wait()

    def open(
        self, page: Path | str, size: tuple[int, int] = DESKTOP, *, dark: bool = False
    ) -> None:
        """Show a file or an address in a window of some size, and wait until it is loaded."""
        self._send(
            'Emulation.setDeviceMetricsOverride', width=size[0], height=size[1],
            deviceScaleFactor=1, mobile=size[0] < 600,
        )  # fmt: skip
        scheme = {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}
        self._send('Emulation.setEmulatedMedia', features=[scheme])
        self.events.clear()
        self._send('Page.navigate', url=page if isinstance(page, str) else page.resolve().as_uri())
        while not any(e['method'] == 'Page.loadEventFired' for e in self.events):
            self._receive()

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self._send(
            'Runtime.evaluate', expression=script, returnByValue=True, awaitPromise=True
        )
        assert 'exceptionDetails' not in answer, answer['exceptionDetails']
        return answer['result'].get('value')

    def place(self, query: str) -> tuple[float, float, float, float]:
        """Scroll an element into view; its left, top, width and height."""
        element = f'document.querySelector({json.dumps(query)})'
        self.run(f"{element}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        self._settle()
        x, y, width, height = self.run(
            f'(() => {{ const b = {element}.getBoundingClientRect();'
            'return [b.x, b.y, b.width, b.height]; })()'
        )
        return x, y, width, height

    def move(self, x: float, y: float) -> None:
        """Move the pointer."""
        self._settle()
        self._send('Input.dispatchMouseEvent', type='mouseMoved', x=x, y=y)
        self._settle()

    def _settle(self) -> None:
        """Wait until the page has been drawn: cards are laid out when they come into view."""
        self.run('new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))')

    def click(self, query: str) -> None:
        """Click into the middle of an element."""
        x, y, width, height = self.place(query)
        spot = {'x': x + width / 2, 'y': y + height / 2}
        self.move(**spot)
        for kind in ('mousePressed', 'mouseReleased'):
            self._send('Input.dispatchMouseEvent', type=kind, button='left', clickCount=1, **spot)

    def press(self, key: str) -> None:
        """Press a key."""
        for kind in ('keyDown', 'keyUp'):
            self._send('Input.dispatchKeyEvent', type=kind, key=key)

    def screenshot(self, path: Path, element: str = '') -> None:
        """Write what is seen, or one element of it, as PNG."""
        area = {}
        if element:
            x, y, width, height = self.place(element)
            spot = {'x': x - 8, 'y': y - 8, 'width': width + 16, 'height': height + 16, 'scale': 1}
            x, y = self.run('[scrollX, scrollY]')
            area['clip'] = spot | {'x': spot['x'] + x, 'y': spot['y'] + y}
        answer = self._send('Page.captureScreenshot', **area)
        path.write_bytes(base64.b64decode(answer['data']))

    def requests(self) -> list[str]:
        """Addresses that the page asked for, other than its own and those inside it."""
        asked = [
            e['params']['request']['url']
            for e in self.events
            if e['method'] == 'Network.requestWillBeSent'
        ]
        return [url for url in asked if not url.startswith(('file:', 'data:'))]

    def errors(self) -> list[Any]:
        """What went wrong in scripts."""
        return [e['params'] for e in self.events if e['method'] == 'Runtime.exceptionThrown']

    def _send(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, Any] = {'id': number, 'method': method, 'params': params}
        if getattr(self, '_session', ''):
            message['sessionId'] = self._session
        self._down.write(json.dumps(message).encode() + b'\0')
        while True:
            answer = self._receive()
            if answer.get('id') == number:
                assert 'error' not in answer, f'{method}: {answer["error"]}'
                return dict(answer['result'])

    def _receive(self) -> dict[str, Any]:
        while b'\0' not in self._rest:
            part = self._up.read1(1 << 20)
            assert part, f'the browser ended with {self._process.poll()}'
            self._rest += part
        text, _, self._rest = self._rest.partition(b'\0')
        message = json.loads(text)
        if 'method' in message:
            self.events.append(message)
        return dict(message)


def main() -> None:
    """Take a screenshot of a page."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument('page', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--size', default='1180x900', help='of the window [1180x900]')
    parser.add_argument('--element', default='', help='show only this one, a CSS selector')
    parser.add_argument('--at', default='', help='scroll to this one, and point into it')
    parser.add_argument('--share', type=float, default=0.6, help='how far to the right [0.6]')
    parser.add_argument('--dark', action='store_true')
    args = parser.parse_args()
    program = find_browser()
    if program is None:
        parser.error('no chromium on the path: install one, or name it in $VVF_BROWSER')
    width, height = map(int, args.size.split('x'))
    with tempfile.TemporaryDirectory() as profile, Browser(program, Path(profile)) as browser:
        browser.open(args.page, (width, height), dark=args.dark)
        if args.at:
            x, y, wide, tall = browser.place(args.at)
            browser.move(x + args.share * wide, y + tall / 2)
        browser.screenshot(args.out, args.element)


if __name__ == '__main__':
    main()
