# SPDX-License-Identifier: Apache-2.0
"""A page about value models on some episodes: film strips, curves, events, where they look.

One HTML file with everything in it, for any data: where no outcome is known it shows the curves and
says what they cannot show.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from html import escape
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from vvf.images import encode_jpeg
from vvf.value_data import rows_of
from vvf.value_evaluation import Evaluation, Scored
from vvf.value_table import notes, rows, title_of
from vvf.viz.parts import (
    CURVES,
    Film,
    Mark,
    NamedCurve,
    chart,
    film_strip,
    filters,
    legend,
    page,
    pill,
)
from vvf.viz.report import READING
from vvf.viz.value_figure import draw_values
from vvf_models.data.augment import to_float
from vvf_models.data.episode import Episode
from vvf_models.evaluation.gradcam import gradcam, overlay
from vvf_models.evaluation.scoring import encode_frames, goals_of
from vvf_models.evaluation.value_metrics import spearman

_FILM = 8  # frames in a strip
_WIDE = 200  # pixels of a frame
_HEAT = (
    'Heat shows which places of an image speak for a high value (Grad-CAM), from none to the most '
    'of all cameras of that moment. It tells where a model looks, not whether it is right.'
)


@dataclass(frozen=True)
class _Pick:
    """An episode that is shown, and why if for a reason."""

    index: int
    reason: str = ''


def write_value_report(
    path: Path, evaluation: Evaluation, *, episodes: int = 12, heat: bool = False
) -> Path:
    """Write the page.

    Args:
        path: The HTML file; its folder is made.
        evaluation: What it is about.
        episodes: How many to show: as many of each outcome, among them the worst.
        heat: Whether to show where each model looks, for each of its cameras.

    Returns:
        The path.
    """
    scene = evaluation.scene
    picks = pick_episodes(evaluation, episodes)
    names = ', '.join(model.name for model in evaluation.models)
    styles = [(model.name, CURVES[i % len(CURVES)]) for i, model in enumerate(evaluation.models)]
    cards = ''.join(_card(evaluation, pick, styles, heat=heat) for pick in picks)
    said = [*notes(evaluation), *([_HEAT] if heat else [])]
    picture = base64.b64encode(_png(evaluation)).decode()
    body = (
        f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in said)}</ul>'
        f'<h2>Numbers</h2>{_table(evaluation)}'
        '<h2>All episodes</h2><img class="picture" alt="curves of all episodes" '
        f'src="data:image/png;base64,{picture}">'
        f'<h2>{_shown(len(picks), len(scene.names))}</h2>'
        f'{filters([_outcome(scene.success[pick.index]) for pick in picks])}{legend(styles)}{cards}'
    )
    sources = ', '.join(p.name for p in evaluation.data.paths)
    text = page(
        f'Value of {names}', body, lead=f'{title_of(evaluation)}, {sources}', footer=READING
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, 'utf-8')
    return path


def pick_episodes(evaluation: Evaluation, count: int) -> list[_Pick]:
    """Which episodes to show: of each outcome as many, evenly spaced, and the worst ones."""
    scene, first = evaluation.scene, evaluation.models[0]
    groups = [
        [e for e, outcome in enumerate(scene.success) if outcome is wanted]
        for wanted in (True, False, None)
    ]
    groups = [group for group in groups if group]
    result: dict[int, _Pick] = {}
    for number, group in enumerate(groups):
        share = (count - len(result)) // (len(groups) - number)
        wanted = min(share, len(group))
        if wanted < 1:
            continue
        mine: dict[int, _Pick] = {}
        outcome = scene.success[group[0]]
        if len(group) > wanted and len(groups) > 1 and outcome is not None:
            ends = [float(first.values[e][-1]) for e in group]
            order = [spearman(first.values[e]) for e in group]
            worst = group[int(np.argmin(order))] if outcome else group[int(np.argmax(ends))]
            what = 'success with the lowest correlation' if outcome else 'failure that ends highest'
            mine[worst] = _Pick(worst, f'The {what}, by {first.name}.')
        for spot in np.linspace(0, len(group) - 1, wanted):
            if len(mine) < wanted:
                mine.setdefault(group[round(spot)], _Pick(group[round(spot)]))
        result |= mine
    return [result[e] for e in sorted(result)]


def _card(evaluation: Evaluation, pick: _Pick, styles: list[tuple[str, str]], *, heat: bool) -> str:
    scene, e = evaluation.scene, pick.index
    episode = _episode(evaluation, e)
    rate, length = scene.rates[e], scene.lengths[e]
    unit, step = ('s', 1 / rate) if math.isfinite(rate) else ('frame', 1.0)
    outcome = _outcome(scene.success[e])
    facts = [scene.instructions[e]] if scene.instructions[e] else []
    facts += [scene.failure_kinds[e].replace('_', ' ')] if scene.failure_kinds[e] else []
    facts += [f'{length * step:.1f} s'] if unit == 's' else []
    facts.append(f'{length} frames')
    for model in evaluation.models:
        facts.append(
            f'{model.name}: correlation {spearman(model.values[e]):.2f}, '
            f'end {model.progress[e][-1]:.2f}'
        )
    spots = np.unique(np.linspace(0, length - 1, _FILM).round().astype(np.int64))
    main = evaluation.models[0].runtime
    assert main is not None
    strips = film_strip(_film(episode, main.cameras[0], spots, step), unit=unit)
    if heat:
        for model in evaluation.models:
            for camera, film in _heat(evaluation, model, e, episode, spots, step).items():
                strips += film_strip(film, name=f'{model.name}, {camera}', unit=unit)
    curves = [
        NamedCurve(name, style, [(i * step, float(p)) for i, p in enumerate(model.progress[e])])
        for (name, style), model in zip(styles, evaluation.models, strict=True)
    ]
    marks = [
        Mark(event.frame * step, event.name.replace('_', ' '), event.kind)
        for event in scene.events[e]
    ]
    drawn = chart(curves, (length - 1) * step, marks, unit=unit)
    note = f'<p class="warn">{escape(pick.reason)}</p>' if pick.reason else ''
    return (
        f'<article class="card" data-episode="{escape(outcome)}"><header>'
        f'<h3>{escape(scene.names[e])}</h3>{pill(outcome)}</header>'
        f'<p class="facts">{escape(" · ".join(facts))}</p>{strips}{drawn}{note}</article>'
    )


def _episode(evaluation: Evaluation, index: int) -> Episode:
    """One episode at its full size."""
    return evaluation.data.episodes()[evaluation.scene.numbers[index]]


def _film(episode: Episode, camera: str, spots: npt.NDArray[np.int64], step: float) -> Film:
    frames = episode.images[camera]
    return [(int(i) * step, encode_jpeg(_fitted(frames[i]), 82)) for i in spots]


def _fitted(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    height, width = image.shape[:2]
    if width <= _WIDE:
        return image
    size = (_WIDE, max(1, round(height * _WIDE / width)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _heat(
    evaluation: Evaluation,
    scored: Scored,
    index: int,
    episode: Episode,
    spots: npt.NDArray[np.int64],
    step: float,
) -> dict[str, Film]:
    """Per camera, the frames with what speaks for a high value."""
    runtime = scored.runtime
    assert runtime is not None
    model = runtime.model
    store = evaluation.data.store(runtime.cameras, runtime.image_size, state=runtime.state_dim > 0)
    row = rows_of(store, evaluation.scene)[index : index + 1]
    frames = store.frames_of(row)[spots]
    last = store.frames_of(row)[-1:]
    ends = [encode_frames(model, store, last)]
    goal = goals_of(model, ends, [evaluation.scene.instructions[index]], scored.goals)[0]
    images = [
        to_float(torch.from_numpy(store.images[camera][frames]).to(model.device))
        for camera in runtime.cameras
    ]
    state = None
    if runtime.state_dim:
        assert store.state is not None
        state = model.normalise(torch.from_numpy(store.state[frames]).to(model.device))
    heats = gradcam(model, images, state, goal)
    films: dict[str, Film] = {}
    for camera, heat in heats.items():
        pictures = [_fitted(episode.images[camera][i]) for i in spots]
        films[camera] = [
            (int(i) * step, encode_jpeg(overlay(picture, warm), 82))
            for i, picture, warm in zip(spots, pictures, heat, strict=True)
        ]
    return films


def _table(evaluation: Evaluation) -> str:
    names = [model.name for model in evaluation.models]
    names += [evaluation.baseline.name] if evaluation.baseline else []
    head = '<tr><th></th>' + ''.join(f'<th>{escape(name)}</th>' for name in names) + '</tr>'
    lines, last = [], ''
    for section, words, cells in rows(evaluation):
        if section != last:
            lines.append(
                f'<tr class="section"><td colspan="{len(names) + 1}">{escape(section)}</td></tr>'
            )
            last = section
        inner = ''.join(f'<td>{escape(cell)}</td>' for cell in cells)
        style = ' class="sub"' if words.startswith(' ') else ''
        lines.append(f'<tr><td{style}>{escape(words.strip())}</td>{inner}</tr>')
    return (
        f'<div class="table wide"><table><thead>{head}</thead><tbody>{"".join(lines)}</tbody>'
        '</table></div>'
    )


def _png(evaluation: Evaluation) -> bytes:
    ok, data = cv2.imencode('.png', draw_values(evaluation, columns=3).image()[:, :, ::-1])
    assert ok
    return data.tobytes()


def _outcome(success: bool | None) -> str:
    return {True: 'success', False: 'failure', None: 'unlabelled'}[success]


def _shown(count: int, total: int) -> str:
    return 'Episodes' if count == total else f'{count} of {total} episodes'
