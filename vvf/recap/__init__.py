# SPDX-License-Identifier: Apache-2.0
"""RECAP as a loop (pi*0.6, arXiv 2511.14759, Alg. 1): demonstrations, value, policy, rollouts."""
