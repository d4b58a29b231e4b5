# SPDX-License-Identifier: Apache-2.0
"""Actions of one arm and of two are the same numbers in a message, in a bag and to a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vvf.actions import delta_names, join_rows, split_rows
from vvf.bags.episodes import BagEpisodes, RecordedAction, actions_at
from vvf.export.recordings import names_of
from vvf.simulated_bag import write_bag
from vvf.task import load_task
from vvf_sim.collect import EpisodeData

ROWS = np.arange(28, dtype=np.float32).reshape(2, 14)


@pytest.mark.parametrize('arms', [1, 2])
def test_rows_come_back_as_they_were(arms: int) -> None:
    data, gripper = split_rows(ROWS, arms)
    assert (data.size, gripper.size) == (2 * (14 - arms), 2 * arms)
    rows = join_rows(data, gripper, 2, 14 - arms, [0.0] * arms)
    np.testing.assert_array_equal(rows, ROWS)


def test_two_arms_have_two_grippers() -> None:
    data, gripper = split_rows(ROWS, 2)
    np.testing.assert_array_equal(gripper, [6, 13, 20, 27])
    assert len(delta_names(('left', 'right'))) == 12
    assert delta_names(('left', 'right'))[6] == 'right_x'
    assert data[6] == ROWS[0, 7]


def test_no_gripper_leaves_them_as_they_are() -> None:
    data, _ = split_rows(ROWS, 2)
    rows = join_rows(data, [], 2, 12, [0.2, 0.7])
    assert rows is not None
    np.testing.assert_allclose(rows[:, [6, 13]], [[0.2, 0.7]] * 2)


@pytest.mark.parametrize(
    ('data', 'gripper', 'horizon', 'dim'),
    [([0.0] * 6, [1.0], 0, 6), ([0.0] * 5, [1.0], 1, 6), ([0.0] * 6, [1.0] * 4, 1, 6)],
)
def test_lengths_that_contradict_each_other_are_no_rows(data, gripper, horizon, dim) -> None:
    assert join_rows(data, gripper, horizon, dim, [0.0]) is None


def test_a_bag_of_two_arms_comes_back_as_it_was(tmp_path: Path) -> None:
    task = load_task('shirt_folding')
    action = np.random.default_rng(0).uniform(0, 0.05, (3, 14)).astype(np.float32)
    none, names = np.zeros(0, np.int64), np.zeros(0, 'U1')
    episode = EpisodeData(
        images={c.name: np.zeros((3, 128, 128, 3), np.uint8) for c in task.cameras},
        state=np.zeros((3, 14), np.float32),
        action=action,
        executed_action=action,
        stamps=np.array([0.0, 0.2, 0.4]),
        success=False,
        success_index=-1,
        failure_kind='timeout',
        event_names=names,
        event_kinds=names,
        event_indices=none,
        event_targets=none.astype(bool),
        interventions=np.zeros(3, bool),
        seed=0,
        task='shirt_folding',
        arm='wx250s',
        instruction='fold it',
        facts='{}',
        setting='any',
        renderer='ray',
        mistake='',
    )
    write_bag(episode, task, tmp_path / 'bag')
    np.testing.assert_array_equal(BagEpisodes(tmp_path / 'bag').read(0).actions, action)


def test_what_is_used_up_moves_nothing_and_holds_both_grippers() -> None:
    steps = np.full((1, 14), 0.5, np.float32)
    rows = actions_at(np.array([100, 900]), [RecordedAction(100, steps, 100)], 'ee_delta')
    np.testing.assert_array_equal(np.flatnonzero(rows[0]), np.arange(14))
    np.testing.assert_array_equal(np.flatnonzero(rows[1]), [6, 13])


def test_every_number_of_two_arms_has_a_name() -> None:
    names = names_of(load_task('shirt_folding')).action
    assert len(names) == 14
    assert (names[0], names[6], names[13]) == ('left_dx', 'left_gripper', 'right_gripper')
