# SPDX-License-Identifier: Apache-2.0
"""The report page: complete, self-contained and well-formed."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.vvf.bag_factory import FRAME_NS, START_NS, cdr, event, image, pixels, write_episode
from tests.vvf.value_scenes import write_episodes, write_icvf
from vvf.bags.writer import BagWriter, TopicSpec
from vvf.cli import main as cli
from vvf.images import decode, encode_jpeg
from vvf.task import load_task
from vvf.viz import cards
from vvf.viz.cards import EpisodeReport
from vvf.viz.episodes import read_run
from vvf.viz.film import FilmFormat, film_picture
from vvf.viz.parts import Mark, tiles
from vvf.viz.parts import number as as_number
from vvf.viz.report import render, write_report
from vvf.viz.tracks import Track, largest_fall, spearman_with_time
from vvf_models.checkpoints import save_checkpoint
from vvf_models.values.icvf import Icvf, IcvfConfig

VOID = {'meta', 'img', 'wbr', 'line', 'polyline', 'rect'}
HOSTILE = '<script>alert("1")</script> & \'x\''


class Page(HTMLParser):
    """Collects elements, and fails where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or '' for k, v in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or '' for k, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def of_class(self, name: str) -> list[dict[str, str]]:
        return [a for _, a in self.elements if name in a.get('class', '').split()]


def track(name: str, progress: list[float], *, value: bool = False) -> Track:
    times, rises = np.arange(len(progress)) / 5, np.array(progress, float)
    extra = (
        {'value': rises * 20 - 20, 'advantage': rises - 0.5, 'uncertainty': rises} if value else {}
    )
    return Track(name, times, rises, **extra)


def episodes() -> list[EpisodeReport]:
    jpeg = encode_jpeg(np.full((16, 16, 3), 90, np.uint8))
    rising = [i / 20 for i in range(20)]
    falling = [*rising[:15], *rising[:4]]
    return [
        EpisodeReport(
            'ep-1', 'success', 4.0, 20,
            [track('live', rising, value=True), track('relabelled', [p / 2 for p in rising])],
            [('', [(0.0, jpeg), (1.9, jpeg), (3.8, jpeg)])],
            [Mark(1.0, 'grasped', 'milestone'), Mark(2.0, 'dropped', 'error')], [(2.0, 3.0)],
            'put it there', 19, 0.9,
        ),
        EpisodeReport(
            'ep-2', 'failure', 4.0, 20, [track('live', [*falling, float('nan')])],
            [('', [(0.0, jpeg)])], instruction='put it here',
        ),
        EpisodeReport(
            HOSTILE, 'unlabelled', 0.0, complaints=[HOSTILE], instruction=HOSTILE,
            marks=[Mark(0.0, HOSTILE)],
        ),
    ]  # fmt: skip


def test_page_is_well_formed_and_complete(tmp_path: Path) -> None:
    summary = {'episodes': 3, 'success_rate': 0.5, 'value_latency_ms_p99': 12.345, 'absent': None}
    path = write_report(tmp_path / 'deep' / 'report.html', episodes(), summary, title='A run')
    page = Page(path.read_text('utf-8'))
    # The worst drop comes first, and each row knows its card.
    assert [card['id'] for card in page.of_class('card')] == ['episode-2', 'episode-1', 'episode-3']
    rows = [a for t, a in page.elements if t == 'tr' and 'data-card' in a]
    assert [row['data-card'] for row in rows] == ['episode-2', 'episode-1', 'episode-3']
    keys = [json.loads(row['data-keys']) for row in rows]
    assert [k['fall'] for k in keys] == [pytest.approx(0.7), 0.0, None]
    assert keys[1]['human'] == 1.0
    assert keys[2]['complaints'] == 1
    assert len(page.of_class('tile')) == 3
    outcomes = [
        a['data-outcome'] for t, a in page.elements if t == 'button' and 'data-outcome' in a
    ]
    assert outcomes == ['all', 'success', 'failure', 'unlabelled']
    images = [a for t, a in page.elements if t == 'img']
    assert len(images) == 4
    assert all(a['src'].startswith('data:image/jpeg;base64,') and a['alt'] for a in images)
    charts = [json.loads(a['data-curves']) for a in page.of_class('chart')]
    drawn = [{c['name']: len(c['t']) for c in chart['curves']} for chart in charts]
    assert drawn == [{'live': 19}, {'live': 20, 'relabelled': 20}, {}]
    live = charts[1]['curves'][0]
    assert (live['p'][4], live['v'][4], live['a'][4], live['u'][4]) == (0.2, -16.0, -0.3, 0.2)
    assert 'v' not in charts[0]['curves'][0]
    assert [label for _, label in charts[1]['marks']] == ['grasped', 'dropped']
    assert len(page.of_class('limit')) == 1
    assert len([a for t, a in page.elements if t == 'rect' and a['class'] == 'human']) == 1
    assert len(page.of_class('fall')) == 1
    text = ' '.join(page.texts)
    assert '50 %' in text
    assert '12.3 ms' in text
    assert 'largest fall 0.70, at 3.0 s' in text


def test_an_episode_without_values_is_said_so() -> None:
    text = ' '.join(Page(render([EpisodeReport('e', 'aborted', 1.0)], {}, title='t')).texts)
    assert 'No values were recorded or relabelled.' in text
    assert 'No frames.' in text
    assert 'worst drops' not in text


def test_page_needs_nothing_from_outside(tmp_path: Path) -> None:
    text = write_report(tmp_path / 'r.html', episodes(), {}, title=HOSTILE).read_text('utf-8')
    page = Page(text)
    assert not re.search(r'https?://|@import|url\(', text)
    assert not [a for t, a in page.elements if t in ('link', 'iframe', 'object')]
    assert all(not a.get('src', 'data:').startswith(('/', 'http')) for _, a in page.elements)
    # What comes from bags is text, never markup.
    assert 'alert(' in text
    assert '<script>alert' not in text
    assert sum(t == 'script' for t, _ in page.elements) == 1


def test_a_page_about_very_many_episodes_stays_within_its_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The limits of a page, all a fiftieth of what they are.
    for limit in ('FILM_BYTES', 'CURVE_SAMPLES', 'MOST_EPISODES'):
        monkeypatch.setattr(cards, limit, getattr(cards, limit) // 50)
    noise = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    jpeg = film_picture(noise, FilmFormat())  # several times what a picture of the world takes
    film = [('', [(float(t), jpeg) for t in range(8)])]
    times = np.arange(900) / 10
    many = [
        EpisodeReport(f'e{i}', 'failure', 90.0, 900, [Track('live', times, w, w, w, w)], film)
        for i, w in enumerate(np.random.default_rng(1).random((22, 900)))
    ]
    text = render(many, {}, title='many')
    assert len(text) < 32_000_000 / 50 + 50_000  # script and style are there once
    page = Page(text)
    assert len(page.of_class('card')) == 20
    assert len([a for t, a in page.elements if t == 'tr' and 'data-card' in a]) == 22
    assert 'the other 2 are in the table' in ' '.join(page.texts)


def test_thinning_keeps_every_fall() -> None:
    progress = np.linspace(0, 1, 5000)
    progress[2500] = 0.1
    long = Track('live', np.arange(5000) / 100, progress, progress)
    short = long.thinned(100)
    assert len(short) <= 100
    assert len(short.value) == len(short)
    assert largest_fall(short).size == pytest.approx(largest_fall(long).size, abs=0.03)
    assert (short.times[0], short.times[-1]) == (long.times[0], long.times[-1])


def test_the_largest_fall_is_that_below_the_best_so_far() -> None:
    fall = largest_fall(track('live', [0.2, 0.8, 0.6, float('nan'), 0.3, 0.9, 0.7]))
    assert fall == pytest.approx((0.5, 0.2, 0.8))
    assert largest_fall(track('live', [0.1, 0.2])).size == 0
    assert largest_fall(track('live', [float('nan')])).size == 0


def test_spearman_with_time() -> None:
    assert spearman_with_time(track('', [i * i for i in range(5)])) == pytest.approx(1.0)
    assert spearman_with_time(track('', [-i for i in range(5)])) == pytest.approx(-1.0)
    # Ties share their rank: by hand, with ranks 0 1 2 3 and 0.5 0.5 2.5 2.5.
    tied = spearman_with_time(track('', [0.1, 0.1, 0.4, 0.4]))
    assert tied == pytest.approx(4 / np.sqrt(20), abs=1e-9)
    assert np.isnan(spearman_with_time(track('', [1.0, 1.0, 1.0])))
    assert np.isnan(spearman_with_time(track('', [])))


def small_model(folder: Path, camera: str) -> Path:
    torch.manual_seed(0)
    config = IcvfConfig(cameras=(camera,), state_dim=0, image_size=32, latent_dim=16, d_max=9.0)
    goals = {camera: torch.zeros(1, 3, 32, 32, dtype=torch.uint8)}
    save_checkpoint(folder, 'icvf', config, Icvf(config).state_dict(), 'untrained', goals)
    return folder


def test_command_line_pairs_recordings_with_their_relabelled_siblings(tmp_path: Path) -> None:
    run = tmp_path / 'run'
    write_episode(run / 'bags' / 'a', live=True, takeover=(2, 5))
    write_episode(run / 'bags' / 'b', outcome='failure', seed=2)
    model, out = small_model(tmp_path / 'v', 'wrist'), run / 'relabelled'
    assert (
        cli.main(
            [
                'relabel',
                str(run / 'bags'),
                '--value',
                str(model),
                '--out',
                str(out),
                '--engine-device',
                'torch',
            ]
        )
        == 0
    )

    first, second = read_run(run)
    assert (first.name, first.outcome, first.frames) == ('a', 'success', 12)
    assert [(t.name, len(t)) for t in first.tracks] == [('live', 12), ('relabelled', 12)]
    assert np.isfinite(first.tracks[1].value).all()
    assert first.tracks[0].progress[5] == pytest.approx(5 / 12)
    assert first.human == [pytest.approx((0.2, 0.5))]
    assert first.seconds == pytest.approx(1.1)
    assert [(t.name, len(t)) for t in second.tracks] == [('relabelled', 12)]
    assert [len(film) for _, film in first.films] == [8]
    assert decode(first.films[0][1][0][1]).shape == (48, 48, 3)
    # A relabelled bag alone has both, too.
    alone = read_run(run / 'relabelled' / 'a')[0]
    assert [t.name for t in alone.tracks] == ['live', 'relabelled']

    numbers = tmp_path / 'numbers.json'
    assert cli.main(['report', str(run), '--json', str(numbers)]) == 0
    page = Page((run / 'report.html').read_text('utf-8'))
    assert len(page.of_class('card')) == 2
    found = json.loads(numbers.read_text())
    assert (found['episodes'], found['successes'], found['success_rate']) == (2, 1, 0.5)
    assert found['interventions'] == 1


def test_events_and_what_is_wrong_with_a_recording_are_on_the_page(tmp_path: Path) -> None:
    task = load_task('pick_place')
    topics = [TopicSpec(t.topic, t.type, t.qos) for t in task.recorded_topics()]
    writer = BagWriter(tmp_path / 'e', topics, {'task_file': task.to_yaml()})
    for i in (0, 1, 2, 40, 41):
        now = START_NS + i * FRAME_NS
        writer.write('/shoulder/image_raw', now, cdr(image(now, pixels(i))))
        writer.write('/wrist/image_raw', now, cdr(image(now, pixels(i))))
    for number, (kind, detail) in enumerate([(5, 'grasped'), (6, 'dropped'), (3, '')]):
        message = event(START_NS + number * FRAME_NS, kind)
        message.detail = detail
        writer.write('/vvf/episode', START_NS + number * FRAME_NS, cdr(message))
    writer.close({'outcome': 'failure', 'dropped': '7', 'note': 'the gripper is worn'})
    episode = read_run(tmp_path / 'e')[0]
    assert [(m.label, m.kind) for m in episode.marks] == [
        ('grasped', 'milestone'),
        ('dropped', 'error'),
    ]
    assert episode.human == [pytest.approx((0.2, 4.1))]  # taken over and never given back
    text = ' '.join(episode.complaints)
    for words in (
        '7 messages did not fit',
        'gripper is worn',
        'of /joint_states',
        'paused for 3.80',
    ):
        assert words in text
    assert 'paused for 3.80' in render([episode], {}, title='t')


def test_a_bag_that_cannot_be_opened_is_on_the_page_among_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_episode(tmp_path / 'run' / 'good', live=True)
    bad = tmp_path / 'run' / 'bad'
    bad.mkdir()
    (bad / 'bad.mcap').write_bytes(b'')
    good, broken = read_run(tmp_path / 'run')
    assert (good.name, broken.name, broken.outcome) == ('good', 'bad', 'unreadable')
    assert str(bad) in broken.complaints[0]
    assert cli.main(['report', str(bad)]) == 2
    assert 'bad.mcap' in capsys.readouterr().err


def test_a_data_set_is_scored_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_episodes(tmp_path / 'data', 4)
    model = write_icvf(tmp_path / 'v', state_dim=0)
    out = tmp_path / 'page.html'
    assert cli.main(['report', str(data), '--value', str(model), '--out', str(out)]) == 0
    page = Page(out.read_text('utf-8'))
    charts = [json.loads(a['data-curves']) for a in page.of_class('chart')]
    assert len(charts) == 4
    assert all({'t', 'p', 'v', 'u'} <= set(c['curves'][0]) for c in charts)
    assert {label for c in charts for _, label in c['marks']} == {'begun', 'stopped'}
    assert len(page.of_class('task')) == 1
    # Without a model there is still something to see.
    assert cli.main(['report', str(data), '--out', str(out)]) == 0
    assert not page_curves(out)
    other = small_model(tmp_path / 'w', 'wrist')
    assert cli.main(['report', str(data), '--value', str(other), '--out', str(out)]) == 2
    assert 'looks through wrist' in capsys.readouterr().err


def page_curves(path: Path) -> list[Any]:
    charts = Page(path.read_text('utf-8')).of_class('chart')
    return [curve for a in charts for curve in json.loads(a['data-curves'])['curves']]


def test_a_folder_without_bags_is_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(['report', str(tmp_path)]) == 2
    assert 'holds no bags' in capsys.readouterr().err
    assert cli.main(['report', str(tmp_path / 'none')]) == 2
    assert 'does not exist' in capsys.readouterr().err
    write_episode(tmp_path / 'bags' / 'a')
    assert cli.main(['report', str(tmp_path / 'bags'), '--value', 'any']) == 2
    assert 'vvf relabel' in capsys.readouterr().err


def test_a_number_that_rounds_to_nothing_has_no_sign() -> None:
    assert [as_number(-0.001), as_number(-0.25), as_number(-0.04, 1), as_number(np.nan)] == [
        '0.00',
        '-0.25',
        '0.0',
        '–',
    ]
    assert '<b>0.00</b>' in tiles({'value_end_success_mean': -0.001})
