# SPDX-License-Identifier: Apache-2.0
"""Write requirements/lock.txt and requirements/ros-lock.txt: every package, pinned.

Each Python resolves the lists for itself, without installing anything; where the answers differ,
a line carries a marker. Run with both, on x86_64 Linux:

    python tools/lock.py python3.11 python3.12
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / 'requirements'
LISTS = ('torch.txt', 'core.txt', 'dev.txt', 'ros.txt')
ALONE = 'alone.txt'
HEADER = '# Written by `make lock` from {} for Python {}: edit those.\n'
#: They come with torch, in the variant that fits the machine, when requirements/torch.txt is
#: installed.
WITH_TORCH = re.compile(r'(torch|triton|nvidia-.*|cuda-.*)$')


def resolve(python: str) -> tuple[str, dict[str, str]]:
    """Ask pip of one interpreter; gives its version and the packages it would install."""
    lists = [word for name in LISTS for word in ('-r', str(FOLDER / name))]
    pip = [python, '-m', 'pip', 'install', '--quiet', '--dry-run', '--ignore-installed']
    report = subprocess.run([*pip, '--report', '-', *lists], check=True, stdout=subprocess.PIPE)
    answer = json.loads(report.stdout)
    packages = {}
    for item in answer['install']:
        name = re.sub(r'[-_.]+', '-', item['metadata']['name']).lower()
        if not WITH_TORCH.match(name):
            packages[name] = item['metadata']['version']
    version = '.'.join(answer['environment']['python_full_version'].split('.')[:2])
    return version, packages


def merge(resolved: dict[str, dict[str, str]]) -> dict[str, list[str]]:
    """Lines for each package, with a marker where the Pythons do not agree."""
    lines = {}
    for name in sorted({name for packages in resolved.values() for name in packages}):
        versions = {python: packages.get(name) for python, packages in resolved.items()}
        if len(set(versions.values())) == 1:
            lines[name] = [f'{name}=={next(iter(versions.values()))}']
        else:
            lines[name] = [
                f'{name}=={version}; python_version == "{python}"'
                for python, version in versions.items()
                if version
            ]
    return lines


def main() -> None:
    """Resolve with every interpreter named on the command line and write both files."""
    resolved = dict(resolve(python) for python in sys.argv[1:])
    if not resolved:
        sys.exit('usage: lock.py PYTHON...')
    lines = merge(resolved)
    for line in (FOLDER / ALONE).read_text().splitlines():
        requirement = line.partition('#')[0].strip()
        if requirement:
            lines[requirement.partition('==')[0]] = [requirement]
    lines = dict(sorted(lines.items()))
    pythons = ' and '.join(resolved)
    for file, ros, sources in (
        ('lock.txt', False, 'torch.txt, core.txt, dev.txt and alone.txt'),
        ('ros-lock.txt', True, 'ros.txt'),
    ):
        chosen = [line for name in lines if name.startswith('ros-') == ros for line in lines[name]]
        (FOLDER / file).write_text(HEADER.format(sources, pythons) + '\n'.join(chosen) + '\n')
        print(f'{file}: {len(chosen)} packages')


if __name__ == '__main__':
    main()
