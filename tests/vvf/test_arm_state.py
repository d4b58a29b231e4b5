# SPDX-License-Identifier: Apache-2.0
"""What an arm says of itself, and whether it follows actions then."""

from __future__ import annotations

import pytest

from vvf.arm_state import follows


@pytest.mark.parametrize(
    ('said', 'expected'),
    [
        ('running', True),
        ('running: a human has taken over', True),
        ('holding', True),
        ('holding: no new action', True),
        ('holding: no new action; no new image behind the actions', True),
        ('holding: no new action; no new joint state', False),
        ('holding: the recorder is silent', False),
        ('stopped: reset it with /vvf/estop_reset', False),
        ('fault: shoulder is limp', False),
        ('moving', False),
        ('parked', False),
        ('waiting: no joint state yet', False),
    ],
)
def test_an_arm_follows_where_the_next_action_moves_it(said: str, expected: bool) -> None:
    assert follows(said) is expected
