# SPDX-License-Identifier: Apache-2.0
"""The policy node's value gate: hears values, says what is wrong, and does what was asked for."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from vvf_msgs.msg import EpisodeEvent, ValueEstimate

from vvf.errors import UserError
from vvf.nodes.common import LATCHED, seconds, stream_qos
from vvf.parameters import Parameter
from vvf.receding import GAP
from vvf.task import ActionSpec
from vvf.value_gate import Array, Fall, GateConfig, PoseMemory, ValueGate

GATE_PARAMETERS = (
    Parameter('gate', 'none', 'when progress falls: none, report, resample, retreat, human, stop'),
    Parameter('gate_drop', 0.25, 'fall of the progress that counts', 0.01, 1.0),
    Parameter('gate_window_s', 2.0, 'within how many seconds; four values at least', 0.1, 60.0),
    Parameter('gate_rest_s', 3.0, 'how long the gate then keeps quiet', 0.0, 60.0),
)

_SAYS = {
    'report': 'nothing is done about it',
    'resample': 'the policy acts anew',
    'retreat': 'back to where it was better',
    'human': 'the policy waits for a human',
    'stop': 'the policy stops until the next episode',
}


class PolicyGate:
    """Belongs to a policy node while that is configured.

    Attributes:
        waiting: the policy must not act, until a human gave back or the episode is over.
        falls: how many there were.
    """

    def __init__(self, node: Any, action: ActionSpec, sides: tuple[str, ...]) -> None:
        p = node.parameters
        self._config = GateConfig(p['gate'], p['gate_drop'], p['gate_window_s'], p['gate_rest_s'])
        if self._config.reaction == 'retreat' and (
            action.kind != 'ee_delta' or len(sides) > 1 or not action.low
        ):
            raise UserError(
                "gate:=retreat is for one arm and displacements with the task's bounds; choose "
                'another.'
            )
        self._node, self._action = node, action
        self._made = node.get_clock().now().nanoseconds * 1e-9
        self._gate = ValueGate(self._config)
        self._poses = PoseMemory(self._config.window_s + 1.0)
        self._way: deque[Array] = deque()
        self._way_at = -np.inf  # when its last step was due, s of a steady clock
        self._episode = ''
        self._human = False
        self._follows = True
        self.waiting = False
        self.falls = 0
        self._events = node.until_cleanup(
            node.create_publisher(EpisodeEvent, '/vvf/episode', LATCHED), node.destroy_publisher
        )
        for kind, topic, callback in (
            (ValueEstimate, '/vvf/value', self._on_value),
            (PoseStamped, '/vvf/ee_pose', self._on_pose),
        ):
            node.until_cleanup(
                node.create_subscription(kind, topic, callback, stream_qos(depth=10)),
                node.destroy_subscription,
            )

    def on_event(self, event: EpisodeEvent) -> bool:
        """Follow the episode; says whether the policy has to begin afresh."""
        if event.event == EpisodeEvent.INTERVENTION_START:
            # What a human undoes to correct it is no fall of the policy's.
            self._human = True
            self.forget()
            return False
        if event.event == EpisodeEvent.START:
            self._episode = event.episode_id
        elif event.event == EpisodeEvent.END:
            self._episode = ''
        elif event.event != EpisodeEvent.INTERVENTION_END:
            return False
        self._human = False
        # A stop lasts until the next episode, whoever has helped meanwhile.
        if self._config.reaction != 'stop' or event.event != EpisodeEvent.INTERVENTION_END:
            self.waiting = False
        if event.event == EpisodeEvent.START and seconds(event.header.stamp) < self._made:
            self._join()
        self.forget()
        return True

    def _join(self) -> None:
        """The episode began before this node: another one may have been made to wait in it."""
        if self._config.reaction in ('human', 'stop'):
            self.waiting = True
            self._node.get_logger().warning(
                f'this episode began before the policy node, which may have died in it: with '
                f'gate:={self._config.reaction}, {_SAYS[self._config.reaction]}'
            )

    def forget(self) -> None:
        """Forget what was seen, and the way of a retreat: what comes next is another situation."""
        self.end_retreat()
        self._gate.reset()
        self._poses.clear()

    def arm_follows(self, follows: bool) -> None:
        """While the arm carries out nothing, no fall is the policy's: somebody clears the table."""
        self._follows = follows
        self.forget()

    def end_retreat(self) -> None:
        """Go no farther back."""
        self._way.clear()

    def next_step(self, now: float) -> Array | None:
        """The next displacement (6,) of a retreat; None where there is none under way.

        Args:
            now: s of a steady clock; after a gap nothing is left of the way.
        """
        if now - self._way_at > GAP / self._action.rate_hz:
            self.end_retreat()
        self._way_at = now
        return self._way.popleft() if self._way else None

    def _on_pose(self, message: PoseStamped) -> None:
        p, q = message.pose.position, message.pose.orientation
        self._poses.add(seconds(message.header.stamp), (p.x, p.y, p.z), (q.x, q.y, q.z, q.w))

    def _on_value(self, message: ValueEstimate) -> None:
        if not (self._node.observing and self._episode) or message.episode_id != self._episode:
            return
        if self.waiting or self._way or self._human or not self._follows:
            return
        fall = self._gate.see(seconds(message.header.stamp), float(message.progress))
        if fall is not None:
            self._react(fall)

    def _react(self, fall: Fall) -> None:
        reaction = self._config.reaction
        self.falls += 1
        if reaction != 'report':
            self._node.act_anew()  # nothing goes on of what was planned
        if reaction == 'retreat':
            way = self._poses.way_back(fall.best_stamp, self._action.low, self._action.high)
            self._way.extend(way if way is not None else np.empty((0, 6)))
            self._way_at = time.monotonic()
        elif reaction in ('human', 'stop'):
            self.waiting = True
        detail = (
            f'value gate: progress fell from {fall.best:.2f} to {fall.progress:.2f}; '
            f'{_SAYS[reaction]}'
        )
        self._node.get_logger().warning(detail)
        event = EpisodeEvent(
            event=EpisodeEvent.ERROR,
            episode_id=self._episode,
            task=self._node.task.name,
            detail=detail,
        )
        event.header.stamp = self._node.get_clock().now().to_msg()
        self._events.publish(event)
