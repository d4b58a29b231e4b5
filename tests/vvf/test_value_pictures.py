# SPDX-License-Identifier: Apache-2.0
"""Figures and pages about values: complete, legible, and honest about what they show."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.vvf.test_report import HOSTILE, Page
from tests.vvf.value_scenes import write_distributional, write_episodes, write_icvf
from vvf.images import decode
from vvf.value_evaluation import Evaluation, Judging, evaluate_values
from vvf.viz.canvas import BLUE, ORANGE, PAPER, Figure, shorten, text_width
from vvf.viz.chart import Panel, draw_heat
from vvf.viz.parts import CURVES, Mark, chart
from vvf.viz.tracks import Track
from vvf.viz.value_figure import draw_values
from vvf.viz.value_report import pick_episodes, write_value_report


def coloured(image: npt.NDArray[np.uint8], colour: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
    return np.asarray((image == np.array(colour, np.uint8)).all(2))


@pytest.fixture(scope='module')
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    folder = tmp_path_factory.mktemp('evaluation')
    data = write_episodes(folder / 'data')
    models = [write_icvf(folder / 'still'), write_distributional(folder / 'reader')]
    judging = Judging(events=True, baseline=(data,), speed=False)
    return evaluate_values(models, [data], judging)


def test_a_curve_lies_where_its_numbers_are() -> None:
    figure = Figure(300, 240)
    panel = Panel((0, 0, 300, 240), x_range=(0, 1), y_range=(0, 1))
    panel.line([0, 1], [0.5, 0.5], BLUE, width=3)
    panel.line([0, 0.5, 1], [0.25, np.nan, 0.25], ORANGE, width=3)
    panel.draw(figure)
    image = figure.image()
    assert image.shape == (480, 600, 3)
    rows, columns = np.nonzero(coloured(image, BLUE))
    top, bottom = 2 * 52, 2 * (240 - 38)
    assert rows.mean() == pytest.approx((top + bottom) / 2, abs=1)
    assert columns.max() - columns.min() > 400
    # A curve with a gap has two loose ends and no line between them.
    assert not coloured(image, ORANGE).any()


def test_numbers_beyond_the_range_stay_inside() -> None:
    figure = Figure(300, 240)
    panel = Panel((0, 0, 300, 240), x_range=(0, 1), y_range=(0, 1))
    panel.line([0, 1], [7, 7], BLUE)
    panel.dot(0.5, -3, ORANGE)
    panel.draw(figure)
    assert np.nonzero(coloured(figure.image(), BLUE))[0].mean() == pytest.approx(104, abs=2)
    assert coloured(figure.image(), ORANGE).any()


def test_the_legend_avoids_the_curves() -> None:
    def covered(ys: list[float]) -> npt.NDArray[np.intp]:
        figure = Figure(300, 240)
        panel = Panel((0, 0, 300, 240), x_range=(0, 1), y_range=(0, 1))
        panel.line([0, 1], ys, ORANGE)
        panel.line([0.5], [0.5], BLUE, 'a curve with a name')
        panel.draw(figure)
        return np.nonzero(coloured(figure.image(), BLUE))[0]

    assert covered([0.9, 0.9]).mean() > 300  # below
    assert covered([0.1, 0.1]).mean() < 180  # above


def test_empty_and_constant_panels_can_be_drawn() -> None:
    figure = Figure(300, 240)
    Panel((0, 0, 300, 240)).draw(figure)
    constant = Panel((0, 0, 300, 240))
    constant.line([1, 1], [2, 2], BLUE, 'constant')
    constant.band([0, 1], [np.nan, np.nan], [1, 2], ORANGE)
    constant.note('nothing')
    constant.draw(figure)
    assert coloured(figure.image(), BLUE).any()


def test_text_is_cut_to_its_room_and_always_drawable() -> None:
    assert shorten('short', 200) == 'short'
    cut = shorten('a long instruction that goes on and on', 100)
    assert cut.endswith('...')
    assert text_width(cut, 12.0) <= 100
    figure = Figure(100, 100)
    figure.text(5, 50, '把胡萝卜放进碗里')
    assert not (figure.image() == np.array(PAPER)).all()


def test_heat_is_darker_where_it_is_higher() -> None:
    figure = Figure(300, 240)
    box = (0, 0, 300, 240)
    draw_heat(figure, box, np.array([[1.0, 0.0], [0.5, 1.0]]), ['a', 'b'], title='t', below='b')
    image = figure.image().astype(int).sum(2)
    assert coloured(figure.image(), BLUE).sum() > 10_000
    assert image.min() < sum(BLUE) + 10


def test_the_figure_has_a_block_for_each_model(evaluation: Evaluation) -> None:
    one = Evaluation(
        evaluation.scene, evaluation.models[:1], None, evaluation.data, evaluation.judging
    )
    alone, both = draw_values(one), draw_values(evaluation)
    assert both.height > 1.8 * alone.height
    assert coloured(both.image(), BLUE).any()
    assert coloured(both.image(), ORANGE).any()
    assert draw_values(evaluation, columns=2).width < both.width


def test_the_page_shows_episodes_of_every_outcome_and_the_worst(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    path = write_value_report(tmp_path / 'new' / 'page.html', evaluation, episodes=6, heat=True)
    page = Page(path.read_text('utf-8'))
    cards = page.of_class('card')
    assert sorted(card['data-episode'] for card in cards) == ['failure'] * 3 + ['success'] * 3
    text = ' '.join(page.texts)
    assert 'The success with the lowest correlation, by still.' in text
    assert 'The failure that ends highest, by still.' in text
    assert 'stopped' in text
    assert 'Heat shows' in text
    drawn = [json.loads(a['data-curves']) for a in page.of_class('chart')]
    assert all([c['name'] for c in d['curves']] == ['still', 'reader'] for d in drawn)
    shown = {a['title'] for a in page.of_class('name')}
    assert shown == {'begun', 'stopped'}
    assert len(page.of_class('event')) == 6 + 3
    assert len([a for a in page.of_class('event') if 'error' in a['class']]) == 3
    # A strip of the camera, and one for each model's view of it.
    assert len(page.of_class('film')) == 3 * len(cards)
    pictures = [a['src'] for tag, a in page.elements if tag == 'img']
    assert sum(source.startswith('data:image/png') for source in pictures) == 1
    assert all(source.startswith('data:') for source in pictures)


def test_heat_changes_the_frames_it_is_laid_over(evaluation: Evaluation, tmp_path: Path) -> None:
    import base64

    path = write_value_report(tmp_path / 'page.html', evaluation, episodes=2, heat=True)
    page = Page(path.read_text('utf-8'))
    jpegs = [a['src'] for tag, a in page.elements if tag == 'img' and 'jpeg' in a['src']]
    count = len(jpegs) // 6  # two episodes, three strips each
    frames = [decode(base64.b64decode(jpeg.partition(',')[2])) for jpeg in jpegs]
    camera, heat = frames[count - 1], frames[2 * count - 1]
    assert camera.shape == heat.shape
    assert np.abs(camera.astype(int) - heat.astype(int)).max() > 60


def test_few_episodes_are_all_shown_once(evaluation: Evaluation) -> None:
    picks = pick_episodes(evaluation, 100)
    assert [pick.index for pick in picks] == list(range(12))
    assert len({pick.index for pick in pick_episodes(evaluation, 5)}) == 5
    assert len(pick_episodes(evaluation, 1)) == 1


def test_a_page_about_unlabelled_clips_claims_nothing(tmp_path: Path) -> None:
    data = write_episodes(
        tmp_path / 'data', 3, success=None, success_index=None, instruction=HOSTILE
    )
    model = write_icvf(tmp_path / 'model', state_dim=0)
    path = write_value_report(
        tmp_path / 'page.html', evaluate_values([model], [data], Judging(speed=False))
    )
    text = path.read_text('utf-8')
    page = Page(text)
    assert '<script>alert' not in text
    assert [card['data-episode'] for card in page.of_class('card')] == ['unlabelled'] * 3
    words = ' '.join(page.texts)
    assert 'and no more' in words
    assert 'AUC' not in words
    assert 'worst' in words  # of the correlations
    assert 'lowest correlation' not in words


def test_labels_of_close_events_do_not_lie_on_each_other() -> None:
    curve = (Track('a', np.array([0.0, 10.0]), np.array([0.0, 1.0])), CURVES[0])
    marks = [Mark(5.0 + i / 10, f'event number {i}', 'error') for i in range(6)]
    page = Page(chart([curve], 10.0, [*marks, Mark(9.9, 'at the very end')]))
    names = [name for name in page.of_class('name') if 'wide' in name['class'].split()]
    levels = [name['style'].rpartition('level:')[2] for name in names]
    assert len(set(levels[:4])) == 4
    assert len(names) == 5  # four levels, and the last one far to the right
    assert len(page.of_class('event')) == 7  # every event keeps its line
    assert 'turned' in names[-1]['class']
