# SPDX-License-Identifier: Apache-2.0
"""Texts that must not be left half written, since whoever goes on has to be able to read them."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a file, complete or not at all, in place of what was there.

    Args:
        path: of the file, whose folder is there.
        text: all of it.
    """
    draft = path.with_name(f'.{path.name}.{os.getpid()}.partial')
    draft.write_text(text, 'utf-8')
    draft.replace(path)
