# SPDX-License-Identifier: Apache-2.0
"""Models at run time: load a checkpoint, encode observations once, ask for values or actions."""

from vvf_models.runtime.choice import ENGINES
from vvf_models.runtime.policy import PolicyRuntime, load_policy
from vvf_models.runtime.policy_interface import Policy
from vvf_models.runtime.value import ValueRuntime, Values, load_value

__all__ = [
    'ENGINES',
    'Policy',
    'PolicyRuntime',
    'ValueRuntime',
    'Values',
    'load_policy',
    'load_value',
]
