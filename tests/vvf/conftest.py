# SPDX-License-Identifier: Apache-2.0
"""Tests in a real browser run where there is one; where there is none, the run says so.

They are deselected, not skipped: `make test-browser` (`-m browser`) wants them, and fails without a
browser.
"""

import pytest

from tests.vvf.browser import find_browser

_left_out: list[pytest.Item] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if find_browser() or 'browser' in config.option.markexpr:
        return
    _left_out[:] = [item for item in items if item.get_closest_marker('browser')]
    if _left_out:
        items[:] = [item for item in items if item not in _left_out]
        config.hook.pytest_deselected(items=_left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _left_out:
        terminalreporter.write_line(
            f'{len(_left_out)} tests of the report in a real browser were left out: no chromium '
            'here. `make test-browser` runs them where there is one.'
        )
