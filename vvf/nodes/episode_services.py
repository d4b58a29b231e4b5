# SPDX-License-Identifier: Apache-2.0
"""The services `/vvf/episode/start`, `/vvf/episode/end` and `/vvf/episode/label`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vvf_msgs.msg import EpisodeEvent
from vvf_msgs.srv import EndEpisode, StartEpisode

from vvf.bags.recorder import set_outcome
from vvf.errors import UserError
from vvf.nodes.episode_runner import EpisodeRunner
from vvf.nodes.messages import OUTCOMES

if TYPE_CHECKING:
    from vvf.nodes.episode import EpisodeNode


class EpisodeServices:
    """Starts, ends and labels the episodes of a node when it is asked to."""

    def __init__(self, node: EpisodeNode, runner: EpisodeRunner) -> None:
        self._node = node
        self._runner = runner
        node.create_service(StartEpisode, '/vvf/episode/start', self._on_start)
        node.create_service(EndEpisode, '/vvf/episode/end', self._on_end)
        node.create_service(EndEpisode, '/vvf/episode/label', self._on_label)

    async def _on_start(
        self, request: StartEpisode.Request, response: StartEpisode.Response
    ) -> StartEpisode.Response:
        node = self._node
        response.success = False
        if node.episode_id:
            response.message = f'episode {node.episode_id} is still running: end it first'
        elif self._runner.busy or node.starting:
            response.message = 'an episode is about to begin'
        elif request.task not in ('', node.task.name):
            response.message = f'this graph runs task {node.task.name}, not {request.task}'
        elif silent := node.silent_topics():
            response.message = node.explain_silence(silent[0])
        else:
            try:
                await node.begin(request.instruction, request.episode_id)
            except (UserError, ValueError) as error:
                node.get_logger().error(f'cannot start an episode: {error}')
                response.message = str(error)
                return response
            response.success = True
            response.episode_id = node.episode_id
            response.path = str(node.recorder.path) if node.recorder else ''
        return response

    def _on_end(
        self, request: EndEpisode.Request, response: EndEpisode.Response
    ) -> EndEpisode.Response:
        node = self._node
        response.success = False
        if not node.episode_id:
            response.message = 'no episode is running'
        elif request.outcome not in OUTCOMES:
            response.message = f'there is no outcome {request.outcome}'
        else:
            node.end(OUTCOMES[request.outcome], request.note)
            response.success = True
            response.path = str(node.last_path or '')
        return response

    def _on_label(
        self, request: EndEpisode.Request, response: EndEpisode.Response
    ) -> EndEpisode.Response:
        node = self._node
        response.success = False
        if request.outcome not in OUTCOMES:
            response.message = f'there is no outcome {request.outcome}'
        elif node.episode_id or node.last_path is None:
            response.message = 'end the episode first: labels are for the last recorded one'
        else:
            outcome = OUTCOMES[request.outcome]
            response.path = str(node.last_path)
            try:
                set_outcome(node.last_path, outcome)
            except (UserError, OSError) as error:
                response.message = str(error)
                return response
            node.last_outcome = outcome
            node.publish_event(EpisodeEvent.LABEL, outcome, request.note)
            response.success = True
        return response
