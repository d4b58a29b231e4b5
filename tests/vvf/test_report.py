# SPDX-License-Identifier: Apache-2.0
"""The report page: complete, self-contained and well-formed."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.vvf.bag_factory import write_episode
from vvf.bags.relabel import RelabelOptions, relabel
from vvf.cli import main as cli
from vvf.cli.relabel import load_model
from vvf.images import decode, encode_jpeg
from vvf.viz.episodes import read_run
from vvf.viz.report import EpisodeReport, spearman_with_time, write_report
from vvf_models.checkpoints import save_checkpoint
from vvf_models.values.icvf import Icvf, IcvfConfig

VOID = {'meta', 'img', 'br', 'line', 'polyline'}
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


def episodes() -> list[EpisodeReport]:
    jpeg = encode_jpeg(np.full((16, 16, 3), 90, np.uint8))
    curve = [(i / 5, i / 20) for i in range(20)]
    return [
        EpisodeReport(
            'ep-1', 'success', 4.0, 20, curve, [(t, p / 2) for t, p in curve],
            [(0.0, jpeg), (3.8, jpeg)], [(1.0, 'takeover')], 'put it there', 19, 0.9,
        ),
        EpisodeReport(
            'ep-2', 'failure', 4.0, 20, [*curve, (4.0, float('nan'))], film=[(0.0, jpeg)],
        ),
        EpisodeReport(HOSTILE, 'unlabelled', 0.0, note=HOSTILE, events=[(0.0, HOSTILE)]),
    ]  # fmt: skip


def test_page_is_well_formed_and_complete(tmp_path: Path) -> None:
    summary = {'episodes': 3, 'success_rate': 0.5, 'value_latency_ms_p99': 12.345, 'absent': None}
    path = write_report(tmp_path / 'deep' / 'report.html', episodes(), summary, title='A run')
    page = Page(path.read_text('utf-8'))
    assert len(page.of_class('card')) == 3
    assert len(page.of_class('tile')) == 3
    assert [a['data-outcome'] for t, a in page.elements if t == 'button'] == [
        'all',
        'success',
        'failure',
        'unlabelled',
    ]
    images = [a for t, a in page.elements if t == 'img']
    assert len(images) == 3
    assert all(a['src'].startswith('data:image/jpeg;base64,') and a['alt'] for a in images)
    charts = [json.loads(a['data-curves']) for a in page.of_class('chart')]
    drawn = [{c['name']: len(c['points']) for c in chart['curves']} for chart in charts]
    assert drawn == [{'live': 20, 'relabelled': 20}, {'live': 20}]
    assert len(page.of_class('limit')) == 1
    text = ' '.join(page.texts)
    assert 'takeover' in text
    assert '50 %' in text
    assert '12.3 ms' in text
    assert 'No values were recorded or relabelled.' in text


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


def test_spearman_with_time() -> None:
    assert spearman_with_time([(i, i * i) for i in range(5)]) == pytest.approx(1.0)
    assert spearman_with_time([(i, -i) for i in range(5)]) == pytest.approx(-1.0)
    # Ties share their rank: by hand, with ranks 0 1 2 3 and 0.5 0.5 2.5 2.5.
    tied = spearman_with_time([(0, 0.1), (1, 0.1), (2, 0.4), (3, 0.4)])
    assert tied == pytest.approx(4 / np.sqrt(20), abs=1e-9)
    assert np.isnan(spearman_with_time([(0, 1.0), (1, 1.0), (2, 1.0)]))
    assert np.isnan(spearman_with_time([]))


def test_command_line_pairs_recordings_with_their_relabelled_siblings(tmp_path: Path) -> None:
    run = tmp_path / 'run'
    write_episode(run / 'bags' / 'a', live=True, takeover=(2, 5))
    write_episode(run / 'bags' / 'b', outcome='failure', seed=2)
    torch.manual_seed(0)
    config = IcvfConfig(cameras=('wrist',), state_dim=0, image_size=32, latent_dim=16, d_max=9.0)
    goals = {'wrist': torch.zeros(1, 3, 32, 32, dtype=torch.uint8)}
    save_checkpoint(tmp_path / 'v', 'icvf', config, Icvf(config).state_dict(), 'untrained', goals)
    model, fingerprint = load_model(tmp_path / 'v')
    options = RelabelOptions(out=run / 'relabelled', fingerprint=fingerprint, tag='v')
    relabel([run / 'bags' / 'a', run / 'bags' / 'b'], model, options)

    first, second = read_run(run)
    assert (first.name, first.outcome, first.frames) == ('a', 'success', 12)
    assert [len(c) for c in (first.live, first.relabelled, first.film)] == [12, 12, 8]
    assert [label for _, label in first.events] == ['takeover', 'give back']
    assert first.seconds == pytest.approx(1.1)
    assert [len(c) for c in (second.live, second.relabelled)] == [0, 12]
    assert decode(first.film[0][1]).shape == (48, 48, 3)

    numbers = tmp_path / 'numbers.json'
    assert cli.main(['report', str(run), '--json', str(numbers)]) == 0
    page = Page((run / 'report.html').read_text('utf-8'))
    assert len(page.of_class('card')) == 2
    found = json.loads(numbers.read_text())
    assert (found['episodes'], found['successes'], found['success_rate']) == (2, 1, 0.5)


def test_a_folder_without_bags_is_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(['report', str(tmp_path)]) == 2
    assert 'holds no bags' in capsys.readouterr().err
    assert cli.main(['report', str(tmp_path / 'none')]) == 2
    assert 'does not exist' in capsys.readouterr().err
