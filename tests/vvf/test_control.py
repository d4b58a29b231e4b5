# SPDX-License-Identifier: Apache-2.0
"""Who was in control: one answer, whoever asks."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.vvf.acted_bags import acted
from tests.vvf.bag_factory import write_episode
from tests.vvf.relabel_models import write_icvf
from vvf.bags.control import Control
from vvf.bags.episodes import BagEpisodes
from vvf.bags.reader import open_bag
from vvf.cli.main import main
from vvf.viz.bag_notes import take_notes


def switch(code: int) -> Any:
    return SimpleNamespace(event=code, INTERVENTION_START=3, INTERVENTION_END=4)


def command(horizon: int, *, human: bool, dt: float = 1e-7) -> Any:
    return SimpleNamespace(horizon=horizon, dt=dt, source=int(human), SOURCE_HUMAN=1)


def test_between_the_events_of_an_intervention() -> None:
    control = Control()
    for stamp, code in [(700, 3), (300, 3), (350, 3), (500, 4), (600, 4), (0, 5)]:
        control.add_event(stamp, switch(code))
    assert control.spans(900) == [(300, 500), (700, 900)]
    stamps = [299, 300, 499, 500, 699, 700, 10_000]
    assert control.human_at(stamps).tolist() == [False, True, True, False, False, True, True]


def test_while_a_human_s_action_is_in_effect() -> None:
    control = Control()
    control.add_action(200, command(3, human=True))
    control.add_action(900, command(1, human=True))
    control.add_action(400, command(9, human=False))
    # Three steps of 100 ns: until they are used up, or a policy's action follows.
    assert control.spans() == [(200, 400), (900, 951)]
    assert control.human_at([199, 200, 399, 400, 899, 900, 950, 951]).tolist() == [
        False, True, True, False, False, True, True, False,
    ]  # fmt: skip
    control.add_action(300, command(3, human=True, dt=math.nan))
    assert control.spans()[:2] == [(200, 300), (300, 301)]
    assert Control().human_at([1, 2]).tolist() == [False, False]


@pytest.mark.parametrize('how', ['events', 'actions'])
def test_training_labels_and_pages_agree(tmp_path: Path, how: str) -> None:
    if how == 'events':
        bag = write_episode(tmp_path / 'bag', 24, takeover=(9, 15))
        expected = list(range(9, 15))
    else:
        bag = acted(tmp_path / 'bag')  # every second frame is answered, from 16 on by a human
        expected = [*range(16, 24)]
    value, out = write_icvf(tmp_path / 'value'), tmp_path / 'out'
    words = ('relabel', bag, '--value', value, '--out', out, '--engine-device', 'torch')
    assert main([*map(str, words)]) == 0
    table = pq.read_table(out / 'values.parquet')
    human = table['complementary_info.is_intervention'].to_pylist()
    assert [i for i, by_hand in enumerate(human) if by_hand] == expected
    episode = BagEpisodes(bag)[0]
    assert episode.interventions is not None
    taken = [round(stamp * 10) for stamp in episode.stamps]
    assert episode.interventions.tolist() == [human[i] for i in taken]
    with open_bag(bag) as reader:
        ((begin, _end),) = take_notes(reader).human
    assert begin == pytest.approx(expected[0] / 10)
