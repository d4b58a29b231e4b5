# SPDX-License-Identifier: Apache-2.0
"""A page about value models on some episodes: film strips, curves, events, where they look.

One HTML file with everything in it, for any data: where no outcome is known it shows the curves and
says what they cannot show.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, replace
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
from vvf.viz.cards import READING, EpisodeReport, episodes_section
from vvf.viz.data_episodes import outcome_of, report_of
from vvf.viz.film import FilmFormat, film_format, film_spots, fitted
from vvf.viz.parts import Film, page
from vvf.viz.tracks import Track
from vvf.viz.value_figure import draw_values
from vvf_models.data.augment import to_float
from vvf_models.data.episode import Episode
from vvf_models.evaluation.gradcam import gradcam, overlay
from vvf_models.evaluation.scoring import encode_frames, goals_of
from vvf_models.evaluation.value_metrics import spearman
from vvf_models.values import advantage

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
    form = film_format(len(picks))
    reports = [_report(evaluation, pick, form, heat=heat) for pick in picks]
    said = [*notes(evaluation), *([_HEAT] if heat else [])]
    picture = base64.b64encode(_png(evaluation)).decode()
    body = (
        f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in said)}</ul>'
        f'<h2>Numbers</h2>{_table(evaluation)}'
        '<h2>All episodes</h2><div class="scroll"><img class="picture" '
        f'alt="curves of all episodes" src="data:image/png;base64,{picture}"></div>'
        f'{episodes_section(reports, _shown(len(picks), len(scene.names)))}'
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


def _report(evaluation: Evaluation, pick: _Pick, form: FilmFormat, *, heat: bool) -> EpisodeReport:
    scene, e = evaluation.scene, pick.index
    episode = evaluation.data.episodes()[scene.numbers[e]]
    rate, length = scene.rates[e], scene.lengths[e]
    timed = math.isfinite(rate)
    step = 1 / rate if timed else 1.0
    times = np.arange(length, dtype=np.float64) * step
    tracks = []
    for model in evaluation.models:
        assert model.runtime is not None
        value = np.asarray(model.values[e], np.float64)
        gain = np.zeros(0)
        if timed:
            cost = model.runtime.model.step_cost_of(scene.instructions[e])
            gamma = model.runtime.gamma
            gain = advantage.lookback(times, value, gamma=gamma, rate_hz=rate, step_cost=cost)
        tracks.append(
            Track(model.name, times, np.asarray(model.progress[e], np.float64), value, gain)
        )
    main = evaluation.models[0].runtime
    assert main is not None
    # Through the camera that the first model looks through.
    episode.images = {main.cameras[0]: episode.images[main.cameras[0]], **episode.images}
    report = report_of(episode, tracks, form=form)
    films = list(report.films)
    spots = film_spots(length, form)
    if heat:
        for model in evaluation.models:
            for camera, film in _heat(evaluation, model, e, episode, spots, step, form).items():
                films.append((f'{model.name}, {camera}', film))
    return replace(
        report,
        name=scene.names[e],
        outcome=outcome_of(scene.success[e]),
        seconds=(length - 1) * step,
        films=films,
        facts=[*report.facts, *([pick.reason] if pick.reason else [])],
        unit='s' if timed else 'frame',
    )


def _heat(
    evaluation: Evaluation,
    scored: Scored,
    index: int,
    episode: Episode,
    spots: npt.NDArray[np.int64],
    step: float,
    form: FilmFormat,
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
        pictures = [fitted(episode.images[camera][i], form.width) for i in spots]
        films[camera] = [
            (int(i) * step, encode_jpeg(overlay(picture, warm), form.quality))
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


def _shown(count: int, total: int) -> str:
    return 'Episodes' if count == total else f'{count} of {total} episodes'
