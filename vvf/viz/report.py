# SPDX-License-Identifier: Apache-2.0
"""A page about episodes: summary, table, and for each a film strip and its values.

One HTML file with everything in it, so that it can be mailed, archived and opened without a
network. The curves are plain SVG; the script only adds reading off, sorting and filtering.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vvf.viz.cards import READING, EpisodeReport, episodes_section
from vvf.viz.parts import page, tiles


def write_report(
    path: str | os.PathLike[str],
    episodes: Sequence[EpisodeReport],
    summary: Mapping[str, Any],
    *,
    title: str = 'Episodes',
    lead: str = '',
) -> Path:
    """Write the page.

    Args:
        path: The HTML file; its folder is made.
        episodes: As recorded; the page shows those with the largest fall of progress first.
        summary: Numbers or texts by snake_case key, shown as tiles; None is left out.
        title: Heading.
        lead: A sentence below it.

    Returns:
        The path.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(render(episodes, summary, title=title, lead=lead), 'utf-8')
    return target


def render(
    episodes: Sequence[EpisodeReport], summary: Mapping[str, Any], *, title: str, lead: str = ''
) -> str:
    """Return the page as HTML; arguments are those of :func:`write_report`."""
    body = f'{tiles(summary)}{episodes_section(episodes)}'
    return page(title, body, lead=lead, footer=READING)
