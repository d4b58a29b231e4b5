# SPDX-License-Identifier: Apache-2.0
"""Errors that a user can cause."""


class UserError(Exception):
    """An error that a user can cause and mend; its message is one sentence that says how."""
