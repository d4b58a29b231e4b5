# SPDX-License-Identifier: Apache-2.0
"""What can be asked of the episode node, and what each key of a human asks of it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from rclpy.task import Future
from std_srvs.srv import Trigger
from vvf_msgs.srv import EndEpisode, StartEpisode

from vvf.errors import UserError
from vvf.nodes.messages import OUTCOME_CODES

PREFIX = '/vvf/episode'
SERVICES = {'start': StartEpisode, 'end': EndEpisode, 'label': EndEpisode, 'save': Trigger}
#: The keys that judge: they end the running episode, or label the last one.
OUTCOME_KEYS = {'s': 'success', 'f': 'failure', 'a': 'aborted'}
#: Longest wait for an answer: the arm may need 40 s for its way home before an episode begins. A
#: node that was started again meanwhile knows nothing of the question.
PATIENCE_S = 60.0


class AsksEpisodes(ABC):
    """Requests without waiting for their answers: each gives a future of the response.

    Attributes:
        running: the episode that runs, '' between two.
    """

    running: str

    @abstractmethod
    def _ask(self, name: str, request: Any) -> Future:
        """Call a service of `SERVICES`.

        Raises:
            UserError: there is none.
        """

    def ask_start(self, instruction: str = '', episode_id: str = '') -> Future:
        """Start an episode; '' takes the task's instruction, and lets the node make an id."""
        request = StartEpisode.Request(instruction=instruction, episode_id=episode_id)
        return self._ask('start', request)

    def ask_end(self, outcome: str, note: str = '') -> Future:
        """End the running episode."""
        return self._ask('end', EndEpisode.Request(outcome=OUTCOME_CODES[outcome], note=note))

    def ask_label(self, outcome: str, note: str = '') -> Future:
        """Give the last episode another outcome."""
        return self._ask('label', EndEpisode.Request(outcome=OUTCOME_CODES[outcome], note=note))

    def ask_save(self) -> Future:
        """Save the ring buffer."""
        return self._ask('save', Trigger.Request())


class EpisodeKeys:
    """One request at a time, and nothing blocks.

    Attributes:
        said: the outcome of the last request, in a few words.
    """

    def __init__(self, asks: AsksEpisodes) -> None:
        self.said = ''
        self._asks = asks
        self._asked_s = 0.0
        self._pending: Any = None
        self._what: Callable[[Any], str] = str

    def press(self, key: str) -> None:
        """Obey one key: space, r, s, f or a; others do nothing."""
        if key not in (' ', 'r', *OUTCOME_KEYS):
            return
        if self._pending is not None:
            self.said = 'one moment: the last request is not answered yet'
            return
        try:
            self._request(key)
            self._asked_s = time.monotonic()
        except UserError as error:
            self.said = str(error)

    def look_at_answer(self) -> bool:
        """Take the answer to the last request; True if it has come, or is waited for no more."""
        if self._pending is None:
            return False
        if not self._pending.done():
            if time.monotonic() - self._asked_s < PATIENCE_S:
                return False
            self._pending = None
            self.said = 'the episode node did not answer: ask again'
            return True
        response, self._pending = self._pending.result(), None
        self.said = self._what(response) if response.success else response.message
        return True

    def _request(self, key: str) -> None:
        asks = self._asks
        if key == ' ' and not asks.running:
            self._pending = asks.ask_start()
            self._what = lambda answer: f'started {answer.episode_id}'
        elif key == 'r':
            self._pending = asks.ask_save()
            self._what = lambda answer: f'saved {answer.message}'
        elif asks.running:
            outcome = OUTCOME_KEYS.get(key, 'unlabelled')
            self._pending = asks.ask_end(outcome)
            self._what = lambda answer: f'ended as {outcome}: {answer.path or "not recorded"}'
        elif key in OUTCOME_KEYS:
            outcome = OUTCOME_KEYS[key]
            self._pending = asks.ask_label(outcome)
            self._what = lambda answer: f'labelled {outcome}: {answer.path}'
