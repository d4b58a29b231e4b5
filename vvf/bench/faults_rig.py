# SPDX-License-Identifier: Apache-2.0
"""The graph that faults are injected into, and the hands to do so."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from vvf_msgs.action import RunEpisode
from vvf_msgs.msg import Action, EpisodeEvent
from vvf_msgs.srv import EndEpisode

from vvf.bench.faults_ears import Ears
from vvf.bench.faults_judge import moves_again
from vvf.bench.faults_relay import STREAMS, Relay, steady
from vvf.errors import UserError
from vvf.graph import GraphArguments, build_graph
from vvf.node_spec import NodeSpec
from vvf.nodes.messages import OUTCOME_CODES
from vvf.supervisor import Supervisor

TASK = 'pick_place'
CAMERAS = ('shoulder', 'wrist')
_OWNERS = {
    'arm': ('shoulder', 'wrist', 'joint_states', 'ee_pose'),
    'value': ('value',),
    'policy': ('action',),
    'episode': ('heartbeat',),
}
_LIMIT_S = 120.0  # of an episode: it is the campaign that ends them


class GraphLostError(Exception):
    """The graph ended, or does not answer any more."""


def fault_graph(bag_dir: Path, seed: int = 0) -> list[NodeSpec]:
    """The nodes of `pick_place`, each stream going through the relay, cameras through nodes."""
    nodes = []
    for spec in build_graph(TASK, GraphArguments(bag_dir=str(bag_dir), seed=seed)):
        streams = _OWNERS.get(spec.name, ())
        aside = tuple((STREAMS[s][1], STREAMS[s][2]) for s in streams)
        parameters = dict(spec.parameters)
        if spec.name == 'arm':
            aside += tuple(
                (f'/{c}/camera_info', f'/behind/{c}_info') for c in ('shoulder', 'wrist')
            )
        elif spec.name == 'episode':
            parameters['success_topic'] = '/behind/nobody'
        nodes.append(replace(spec, parameters=parameters, remappings=aside))
    for camera in CAMERAS:
        # An arm that holds is drawn as the very same picture, which is no frozen camera here.
        parameters = {'camera': camera, 'source': 'topic', 'topic': STREAMS[camera][3]}
        parameters |= {'freeze_s': 0.0}
        nodes.append(NodeSpec('camera', f'camera_{camera}', parameters=parameters))
    return nodes


class Rig:
    """A running graph, seen and spoilt from outside; a context manager.

    Args:
        folder: bags and logs are written there.
        seed: of the first simulated layout.

    Attributes:
        began: when the running episode did, s of the steady clock.
        lines: what the supervisor and the nodes said that is worth a person's eye.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.bags = folder / 'bags'
        self.lines: list[str] = []
        self.began = 0.0
        specs = fault_graph(self.bags, seed)
        self._supervisor = Supervisor(
            specs, log=self.lines.append, log_dir=folder / 'log', quiet=True
        )
        self._ears = Ears()

    def __enter__(self) -> Self:
        self._ears.__enter__()
        try:
            self._supervisor.__enter__()
            self.ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._supervisor.stop()
        self._ears.__exit__(kind, error, trace)

    def stop(self) -> None:
        """End the graph; bags are closed by that."""
        self._supervisor.stop()

    @property
    def relay(self) -> Relay:
        """What passes between the nodes."""
        return self._ears.relay

    @property
    def failure(self) -> str | None:
        """Why the graph ended; `None` while it runs."""
        return self._supervisor.failure

    @property
    def worn(self) -> bool:
        """Whether a node was started again so often that the supervisor would soon give up."""
        return any(self._supervisor.restarts(name) >= 4 for name in self._supervisor.alive())

    def wait(self, done: Callable[[], object], what: str, patience_s: float = 30.0) -> None:
        """Wait for something to happen.

        Raises:
            GraphLostError: the graph ended, or patience did.
        """
        until = time.monotonic() + patience_s
        while not done():
            if self.failure is not None:
                raise GraphLostError(self.failure)
            if time.monotonic() > until:
                raise GraphLostError(f'{what} did not come within {patience_s:g} s')
            time.sleep(0.01)

    def pause(self, seconds: float) -> None:
        """Let the graph run for a while; see `wait`."""
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= until, 'time', seconds + 10.0)

    def ready(self) -> None:
        """Wait until all nodes do their work."""
        ears = self._ears
        self.wait(ears.run.server_is_ready, 'the episode node', 90.0)
        for name in ('value', 'policy'):
            self.wait(partial(ears.is_active, name), f'the {name} node', 90.0)
        streams = ears.relay.streams
        self.wait(lambda: streams['value'].arrived, 'the first value', 60.0)

    def begin_episode(self) -> str:
        """Start an episode and wait until the policy moves the arm; returns its id."""
        ears = self._ears
        self.wait(lambda: not ears.relay.episode, 'the end of the last episode')
        self.wait(ears.run.server_is_ready, 'the episode node')
        ears.relay.forget()
        goal = RunEpisode.Goal(timeout_s=_LIMIT_S, record=True)
        before = len(ears.events)
        sent = ears.run.send_goal_async(goal)
        self.wait(sent.done, 'the goal is taken')
        if not sent.result().accepted:
            raise GraphLostError('the episode node refused an episode')

        def begun() -> bool:
            return any(e.event == EpisodeEvent.START for e in ears.events[before:])

        self.wait(begun, 'the start of the episode')
        name = str(ears.events[-1].episode_id)
        ears.relay.measured.clear()
        self.began = began = steady(ears.events[-1].header.stamp)
        self.wait(lambda: self.moved(began), 'motion in an episode', 15.0)
        return name

    def moved(self, since: float) -> bool:
        """Whether the arm has lately moved, after some time."""
        measured = self.relay.measured[-60:]
        return bool(measured) and moves_again(measured, since)

    def end_episode(self) -> None:
        """End the running episode, if there is one, and wait for its bag."""
        ears = self._ears
        self.wait(ears.end.service_is_ready, 'the episode node')
        done = ears.end.call_async(EndEpisode.Request(outcome=OUTCOME_CODES['unlabelled']))
        self.wait(done.done, 'the answer to the end of an episode')
        self.wait(lambda: not ears.relay.episode, 'the end of the episode')

    def send_signal(self, node: str, number: signal.Signals) -> None:
        """To the process of a node."""
        with suppress(ProcessLookupError):
            os.kill(self._supervisor.pid(node), number)

    def limit_files(self, node: str, most: int | None) -> None:
        """Let a node's files grow to so many bytes and no further; `None`: as it was.

        Beyond it a write fails, as on a full disk, but for this process alone.
        """
        _, hard = resource.prlimit(self._supervisor.pid(node), resource.RLIMIT_FSIZE)
        soft = hard if most is None else most
        resource.prlimit(self._supervisor.pid(node), resource.RLIMIT_FSIZE, (soft, hard))

    def stop_arm(self, how: str, stopped: bool) -> None:
        """The emergency stop, by its `service` or its `button`; without waiting for an answer."""
        if how == 'button':
            self._ears.button.publish(Bool(data=stopped))
        if how == 'service' or not stopped:  # a button that is released resets nothing
            name = '/vvf/estop' if stopped else '/vvf/estop_reset'
            self._ears.services[name].call_async(Trigger.Request())

    def refusals(self) -> dict[str, int]:
        """What the arm node has counted so far, by reason."""
        return {
            key.removeprefix('refused_'): int(value)
            for key, value in self._ears.diagnostics.items()
            if key.startswith('refused_') or key in ('clipped_actions', 'outside_workspace')
        }

    def take_over(self, human: bool) -> None:
        """Tell the graph that a human has the arm, or gives it back."""
        kinds = (EpisodeEvent.INTERVENTION_END, EpisodeEvent.INTERVENTION_START)
        event = EpisodeEvent(event=kinds[human], episode_id=self.relay.episode, task=TASK)
        event.header.stamp = self._ears.now()
        self._ears.event.publish(event)

    def send_human_action(self, step: Sequence[float]) -> None:
        """One displacement (6,) in m and rad by a human's hand, stamped now."""
        message = Action(
            source=Action.SOURCE_HUMAN,
            kind=Action.KIND_EE_DELTA,
            horizon=1,
            dim=6,
            data=[float(x) for x in step],
            gripper=[1.0],
            dt=0.2,
        )
        message.header.stamp = self._ears.now()
        self.relay.note('action', message)
        self.relay.streams['action'].publisher.publish(message)


def check_possible() -> None:
    """Whether faults can be injected here.

    Raises:
        UserError: they cannot.
    """
    if not hasattr(resource, 'prlimit'):
        raise UserError('vvf bench faults needs Linux: it limits the files of a running process.')
