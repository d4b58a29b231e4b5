# SPDX-License-Identifier: Apache-2.0
"""`vvf episodes`: what there is to know of recorded episodes, sorted and filtered."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.vvf.bag_factory import write_episode
from vvf.bags import BagWriter, open_bag
from vvf.cli.main import main


def browse(folder: Path, *words: object) -> dict[str, Any]:
    numbers = folder.parent / 'numbers.json'
    assert main(['episodes', *map(str, (folder, *words, '--json', numbers))]) == 0
    return dict(json.loads(numbers.read_text()))


@pytest.fixture
def bags(tmp_path: Path) -> Path:
    folder = tmp_path / 'bags'
    write_episode(folder / 'a', 12, outcome='success', live=True)
    write_episode(folder / 'b', 20, outcome='failure', takeover=(4, 9))
    write_episode(folder / 'c', 8, outcome='unlabelled', live=True, seed=3)
    return folder


def test_one_row_for_each(bags: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = browse(bags)
    assert found['episodes'] == 3
    assert found['outcomes'] == {'success': 1, 'failure': 1, 'unlabelled': 1}
    a, b, c = found['rows']
    assert [row['episode_id'] for row in (a, b, c)] == ['a', 'b', 'c']
    assert [row['frames'] for row in (a, b, c)] == [12, 20, 8]
    assert b['seconds'] == pytest.approx(1.9, abs=0.01)
    assert [row['interventions'] for row in (a, b, c)] == [0, 1, 0]
    # Live values: progress i / 12, value one less.
    assert a['progress_last'] == pytest.approx(11 / 12, abs=1e-4)
    assert a['value_mean'] == pytest.approx(np.mean(np.arange(12) / 12) - 1, abs=1e-4)
    assert (b['value_mean'], b['value_last']) == (None, None)
    assert (a['instruction'], a['complaints']) == ('put it there', [])
    said = capsys.readouterr().out
    for word in ('takeovers', 'put it there', '3 episodes (1 success, 1 failure, 1 unlabelled)'):
        assert word in said


def test_filtered_and_sorted(bags: Path) -> None:
    def names(*words: object) -> list[str]:
        return [row['episode_id'] for row in browse(bags, *words)['rows']]

    assert names('--outcome', 'failure', 'unlabelled') == ['b', 'c']
    assert names('--sort', 'seconds') == ['c', 'a', 'b']
    assert names('--sort', 'seconds', '--reverse') == ['b', 'a', 'c']
    assert names('--sort', 'interventions') == ['b', 'a', 'c']
    # The lowest value first, and last those that have none.
    assert names('--sort', 'last') == ['c', 'a', 'b']
    assert names('--outcome', 'aborted') == []


def test_values_of_the_relabeller_count_more(bags: Path) -> None:
    table = pa.table(
        {
            'episode_id': ['a', 'a', 'b', 'b'],
            'complementary_info.value_m': pa.array([-3.0, -1.0, -4.0, -6.0], pa.float32()),
            'progress': pa.array([0.1, 0.5, 0.4, 0.2], pa.float32()),
        }
    )
    (bags / 'again').mkdir()
    pq.write_table(table, bags / 'again' / 'values.parquet')
    a, b, c = browse(bags)['rows']
    assert (a['value_mean'], a['value_last'], a['progress_last']) == (-2, -1, 0.5)
    assert (b['value_mean'], b['value_last']) == (-5, -6)
    assert c['value_last'] == pytest.approx(7 / 8 - 1)


def test_a_relabelled_sibling_is_no_episode_of_its_own(bags: Path, tmp_path: Path) -> None:
    sibling = tmp_path / 'bags' / 'relabelled' / 'b'
    with open_bag(bags / 'b') as reader:
        custom = {**reader.custom_data, 'relabel_topic': '/vvf/value'}
        with BagWriter(sibling, reader.topics.values(), custom) as writer:
            for topic, _, stamp, raw in reader.messages():
                writer.write(topic, stamp, raw)
    assert [row['episode_id'] for row in browse(bags)['rows']] == ['a', 'b', 'c']
    # What was edited has the name, but is another episode.
    assert main(['edit', 'outcome', str(bags / 'b'), '--set', 'success', '--out',
                 str(bags / 'edited')]) == 0  # fmt: skip
    rows = browse(bags)['rows']
    assert [(row['episode_id'], row['outcome']) for row in rows] == [
        ('a', 'success'), ('b', 'failure'), ('b', 'success'), ('c', 'unlabelled'),
    ]  # fmt: skip


def test_complaints(bags: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = bags / 'b' / 'b.mcap'
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    (bags / 'c' / 'c.mcap').write_bytes(b'')
    gap = bags / 'gap'
    with open_bag(bags / 'a') as reader:
        custom = {**reader.custom_data, 'episode_id': 'gap'}
        custom['audit'] = json.dumps({'complaints': ['/wrist/image_raw paused for 1.20 s']})
        with BagWriter(gap, reader.topics.values(), custom) as writer:
            for topic, _, stamp, raw in reader.messages():
                writer.write(topic, stamp, raw)
    rows = {row['episode_id']: row for row in browse(bags)['rows']}
    assert rows['a']['complaints'] == []
    assert 'ends in the middle of a record' in rows['b']['complaints'][0]
    assert (rows['c']['outcome'], rows['c']['seconds']) == ('unreadable', 0)
    assert 'is empty' in rows['c']['complaints'][0]
    assert rows['gap']['complaints'] == ['/wrist/image_raw paused for 1.20 s']
    assert 'paused for 1.20 s' in capsys.readouterr().out
    assert [r['episode_id'] for r in browse(bags, '--outcome', 'unreadable')['rows']] == ['c']


def test_the_audit_of_the_recording(bags: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stream = {'count': 300, 'rate_hz': 30.0, 'longest_gap_s': 0.375, 'dropped': 2, 'lost': 1}
    event = {'count': 2, 'rate_hz': 0.1, 'longest_gap_s': 9.5, 'dropped': 0, 'lost': 0}
    quick = {**stream, 'longest_gap_s': 0.25, 'lost': 4}
    topics = {'/cam': stream, '/vvf/episode': event, '/joint_states': quick}
    write_episode(bags / 'd', 4, audit=json.dumps({'topics': topics}))
    write_episode(bags / 'e', 4, audit='{"topics": {"/cam": {}}}')
    rows = browse(bags, '--sort', 'lost')['rows']
    audit = [rows[0][k] for k in ('messages_lost', 'longest_gap_s', 'longest_gap_topic')]
    assert (rows[0]['episode_id'], audit) == ('d', [9, 0.375, '/cam'])
    assert [row['messages_lost'] for row in rows[1:]] == [None] * 4
    assert browse(bags, '--sort', 'gap')['rows'][0]['episode_id'] == 'd'
    said = next(line for line in capsys.readouterr().out.splitlines() if line.startswith('d '))
    assert '   9   0.38  put it' in said


def test_mistakes_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_episode(tmp_path / 'bags' / 'a', 2)
    wrong = tmp_path / 'wrong.parquet'
    pq.write_table(pa.table({'x': [1]}), wrong)
    for words, said in [
        ((tmp_path / 'none',), 'does not exist'),
        ((tmp_path / 'bags' / 'a' / 'metadata.yaml',), 'holds no bags'),
        ((bag, '--values', wrong), 'holds no values'),
        ((bag, '--values', bag / 'metadata.yaml'), 'cannot be read'),
    ]:
        assert main(['episodes', *map(str, words)]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count('\n') == 1
