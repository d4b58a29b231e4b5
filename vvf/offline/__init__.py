# SPDX-License-Identifier: Apache-2.0
"""V-PTR's three phases of offline RL in simulation, its ablations and its baselines."""
