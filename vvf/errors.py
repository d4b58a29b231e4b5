# SPDX-License-Identifier: Apache-2.0
"""Errors that a user can cause: one sentence that says what to do, exit code 2, no traceback."""

from __future__ import annotations

_PACKAGES = {'vvf', 'vvf_models', 'vvf_sim'}


class UserError(Exception):
    """Something the user can mend; the message is one sentence that says how."""


def is_user_error(error: BaseException) -> bool:
    """Whether an exception is the `UserError` of any of the three packages.

    The packages below do not know this one, so each has its own class; importing theirs here would
    load torch and MuJoCo only to compare types.
    """
    return any(
        kind.__name__ == 'UserError' and kind.__module__.split('.')[0] in _PACKAGES
        for kind in type(error).__mro__
    )
