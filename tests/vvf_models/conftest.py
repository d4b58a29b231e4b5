# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.vvf_models.toy import toy_store


@pytest.fixture(scope='session')
def store():
    return toy_store(24)
