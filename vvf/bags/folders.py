# SPDX-License-Identifier: Apache-2.0
"""Finds the bags among files and folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vvf.bags.reader import is_bag
from vvf.errors import UserError


def find_bags(paths: Sequence[Path]) -> list[Path]:
    """Return the bags among the paths, and those one level below each folder that is not a bag.

    Raises:
        UserError: Two bags have the same name.
    """
    found: list[Path] = []
    for path in paths:
        inside = []
        if path.is_dir() and not is_bag(path):
            inside = sorted(p for p in path.iterdir() if p.name[0] != '.' and is_bag(p))
        found += inside or [path]
    by_name: dict[str, Path] = {}
    for path in found:
        other = by_name.setdefault(bag_name(path), path)
        if other.resolve() != path.resolve():
            raise UserError(
                f'{other} and {path} have the same name: relabel them into different folders'
            )
    return list(by_name.values())


def bag_name(path: Path) -> str:
    """The name of a bag's folder, or of its file without the endings."""
    name = path.resolve().name
    return name if path.is_dir() else name.split('.')[0]
