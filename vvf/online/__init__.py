# SPDX-License-Identifier: Apache-2.0
"""Online reinforcement learning in simulation: environments, training, curves. See `vvf rl`."""
