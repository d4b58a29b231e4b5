# SPDX-License-Identifier: Apache-2.0
"""What `/vvf/arm/state` says: the mode and, after a colon, why; and who acts, what it is to them.

The topic is `vvf.nodes.arm_topics`'; the modes are in `vvf.safety_states`.
"""

from __future__ import annotations

from vvf.safety_states import Mode, Reason

STALE_TEXT = {
    Reason.STALE_ACTION: 'no new action',
    Reason.STALE_IMAGE: 'no new image behind the actions',
    Reason.STALE_JOINT_STATE: 'no new joint state',
    Reason.STALE_VALUE: 'no new value',
    Reason.STALE_RECORDER: 'the recorder is silent',
}
#: What the next action mends: an arm that holds for these alone follows it.
_OURS = {STALE_TEXT[Reason.STALE_ACTION], STALE_TEXT[Reason.STALE_IMAGE]}
_OTHERS = set(STALE_TEXT.values()) - _OURS


def follows(said: str) -> bool:
    """Whether an arm that says this carries out the actions that come now."""
    mode, _, why = said.partition(': ')
    if mode == Mode.HOLDING.value:
        return not _OTHERS & set(why.split('; '))
    return mode == Mode.RUNNING.value
