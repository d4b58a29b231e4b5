# SPDX-License-Identifier: Apache-2.0
"""Results that are stored come back as they were, and broken ones are named."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vvf.errors import UserError
from vvf.stored_results import StoredResult, read_results, this_machine, write_result

RESULT = StoredResult(
    experiment='vptr',
    method='ptr',
    condition='scenario_1',
    seed=1,
    task='pick_place',
    robot='wx250s',
    episodes=20,
    successes=9,
    numbers={'steps_mean': 31.5, 'curve_success': [0.0, 0.25, 1.0]},
    command='vvf ...',
    machine='2 cores, no GPU',
    seconds=61.5,
)


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    other = dataclasses.replace(RESULT, seed=2, numbers={})
    write_result(tmp_path / 'deep/down/one.json', RESULT)
    write_result(tmp_path / 'two.json', other)
    assert read_results([tmp_path]) == [RESULT, other]
    # Nothing half-written is left, and a folder that is named twice counts once.
    assert sorted(p.name for p in tmp_path.rglob('*.*')) == ['one.json', 'two.json']
    assert len(read_results([tmp_path, tmp_path / 'deep', tmp_path / 'two.json'])) == 2


def test_a_result_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / 'one.json'
    write_result(path, RESULT)
    write_result(path, dataclasses.replace(RESULT, successes=10))
    assert [result.successes for result in read_results([path])] == [10]


def test_a_result_that_is_only_told_again_keeps_its_time(tmp_path: Path) -> None:
    path = tmp_path / 'one.json'
    told = dataclasses.replace(RESULT, seconds=math.nan, command='vvf again')
    write_result(path, told)
    assert math.isnan(read_results([path])[0].seconds)
    write_result(path, RESULT)
    write_result(path, told)
    assert read_results([path]) == [dataclasses.replace(told, seconds=61.5)]
    for entries in ({'seed': 2}, {'successes': 10}):
        write_result(path, RESULT)
        write_result(path, dataclasses.replace(told, **entries))
        assert math.isnan(read_results([path])[0].seconds)


def test_numbers_of_numpy_and_unknown_ones_are_stored(tmp_path: Path) -> None:
    numbers: dict[str, Any] = {
        'array': np.float32([0.5, np.nan]),
        'scalar': np.int64(3),
        'unknown': math.inf,
    }
    write_result(tmp_path / 'one.json', dataclasses.replace(RESULT, numbers=numbers, seconds=1))
    [result] = read_results([tmp_path])
    assert result.numbers['scalar'] == 3.0
    assert np.isnan(result.numbers['unknown'])
    np.testing.assert_array_equal(result.numbers['array'], [0.5, math.nan])


def test_other_json_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / 'metrics.json').write_text('{"loss": 1}')
    (tmp_path / 'list.json').write_text('[1, 2]')
    assert read_results([tmp_path]) == []


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'seed': None}, '"seed" is no whole number'),
        ({'seed': True}, '"seed" is no whole number'),
        ({'task': 3}, '"task" is no text'),
        ({'numbers': [1]}, '"numbers" is no mapping'),
        ({'numbers': {'x': 'y'}}, '"x" is no number'),
        ({'numbers': {'x': [1, 'y']}}, '"x" is no number'),
        ({'extra': 1}, '"extra" is unknown'),
        ({'successes': 21}, '21 successes of 20 episodes'),
        ({'seconds': -1}, 'taken -1.0 s'),
        ({'vvf_result': 99}, 'another version'),
    ],
)
def test_a_broken_result_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / 'one.json'
    write_result(path, RESULT)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=message) as caught:
        read_results([tmp_path])
    assert str(path) in str(caught.value)


def test_a_missing_key_and_a_torn_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / 'one.json'
    write_result(path, RESULT)
    text = path.read_text()
    content = json.loads(text)
    del content['machine']
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r'one\.json is broken \("machine" is missing\)'):
        read_results([tmp_path])
    path.write_text(text[:-20])
    with pytest.raises(UserError, match=r'one\.json is no JSON'):
        read_results([tmp_path])


def test_two_results_of_one_run_are_refused(tmp_path: Path) -> None:
    write_result(tmp_path / 'one.json', RESULT)
    write_result(tmp_path / 'two.json', dataclasses.replace(RESULT, successes=3))
    with pytest.raises(UserError, match=r'one\.json and .*two\.json are results of the same run'):
        read_results([tmp_path])


def test_places_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='no such file or folder'):
        read_results([tmp_path / 'nowhere'])
    with pytest.raises(UserError, match=r'in \.json'):
        write_result(tmp_path / 'one.txt', RESULT)


def test_the_machine_is_told_without_its_name() -> None:
    import socket

    said = this_machine()
    assert 'core' in said
    assert socket.gethostname() not in said
