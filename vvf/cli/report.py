# SPDX-License-Identifier: Apache-2.0
"""`vvf report`: one HTML page about a folder of episodes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from vvf.viz.episodes import read_run, summarise
from vvf.viz.report import write_report


def add_parser(subparsers: Any) -> None:
    """Add `vvf report`."""
    parser = subparsers.add_parser(
        'report',
        help='write an HTML page about recorded episodes',
        description='Write one self-contained HTML page: per episode a film strip, the live '
        'progress and the relabelled one. Bags are looked for below RUN_DIR; those that '
        '`vvf relabel` wrote are paired with their originals.',
        epilog='example: vvf report runs/demo --out runs/demo/report.html',
    )
    parser.add_argument('run_dir', type=Path, metavar='RUN_DIR', help='folder of episode bags')
    parser.add_argument('--out', type=Path, help='the page [RUN_DIR/report.html]')
    parser.add_argument('--title', help='heading [the name of RUN_DIR]')
    parser.add_argument('--threshold', type=float, default=0.9,
                        help='progress drawn as success [0.9]')  # fmt: skip
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the summary to FILE')


def run(args: argparse.Namespace) -> int:
    """Run `vvf report`."""
    episodes = read_run(args.run_dir, threshold=args.threshold)
    summary = summarise(episodes, args.run_dir / 'summary.json')
    title = args.title or args.run_dir.resolve().name
    target = args.out or args.run_dir / 'report.html'
    write_report(target, episodes, summary, title=title, lead=f'{len(episodes)} episodes')
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(dict(summary), indent=2) + '\n', 'utf-8')
    print(f'{len(episodes)} episodes: {target}')
    return 0
