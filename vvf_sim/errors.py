# SPDX-License-Identifier: Apache-2.0
"""Errors that a user of the simulator can cause and mend."""


class UserError(Exception):
    """An error whose message is one sentence that says what to do."""
