# SPDX-License-Identifier: Apache-2.0
"""A picture of a recording in Rerun's web viewer.

`python -m tests.vvf.rerun_browser EPISODE.rrd OUT.png` takes it. No screen and no graphics card
are needed: the browser draws WebGL by itself. Server and viewer are on the loopback only.
"""

import argparse
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import quote

from tests.vvf.browser import Browser, find_browser
from vvf.viz.rerun_view import LOOPBACK, without_statistics

SOFTWARE = ('--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist')
_HOSTING = 'Hosting a web-viewer at '
_STILL_S = 15.0  # what has not changed for so long is complete


def main() -> None:
    """Take a picture of a recording in Rerun's viewer."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument('recording', type=Path, help='an .rrd file of `vvf view --save`')
    parser.add_argument('out', type=Path, help='the PNG')
    parser.add_argument('--size', default='1280x900', help='of the window [1280x900]')
    parser.add_argument('--port', type=int, default=9877, help='of the server; the next one, too')
    args = parser.parse_args()
    program = find_browser()
    if program is None or not args.recording.is_file():
        parser.error('a chromium on the path and a recording are needed')
    width, height = map(int, args.size.split('x'))
    command = [
        sys.executable, '-m', 'rerun', str(args.recording), '--serve-web', '--bind', LOOPBACK,
        '--port', str(args.port), '--web-viewer-port', str(args.port + 1),
    ]  # fmt: skip
    source = quote(f'rerun+http://{LOOPBACK}:{args.port}/proxy', safe='')
    address = f'http://{LOOPBACK}:{args.port + 1}/?url={source}&hide_welcome_screen=true'
    with without_statistics():
        server = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        try:
            wait_for(server, _HOSTING)
            with (
                tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
                Browser(program, Path(profile), SOFTWARE) as browser,
            ):
                browser.open(f'{address}&renderer=webgl', (width, height))
                wait_until_still(browser, args.out)
        finally:
            os.killpg(server.pid, signal.SIGTERM)  # it is a child of what was started
            server.wait()


def wait_for(process: subprocess.Popen[str], words: str, patience_s: float = 60.0) -> None:
    """Wait until a program has printed some words; it is read on, so that it never blocks."""
    assert process.stdout is not None
    lines: queue.Queue[str] = queue.Queue()
    stream = process.stdout
    threading.Thread(target=lambda: [lines.put(line) for line in stream], daemon=True).start()
    while words not in lines.get(timeout=patience_s):
        pass


def wait_until_still(browser: Browser, out: Path) -> None:
    """Take pictures until one no longer differs, the first ones, of the loading, apart."""
    seen: list[bytes] = []
    since = time.monotonic()
    while len(seen) < 3 or time.monotonic() - since < _STILL_S:
        browser.screenshot(out)
        picture = out.read_bytes()
        if not seen or picture != seen[-1]:
            seen.append(picture)
            since = time.monotonic()


if __name__ == '__main__':
    main()
