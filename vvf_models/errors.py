# SPDX-License-Identifier: Apache-2.0
"""The one exception type for mistakes that a user can make and mend."""


class UserError(Exception):
    """A mistake a user can make; the message is one sentence that says what to do about it."""
