# SPDX-License-Identifier: Apache-2.0
"""Worlds that a robot acts in, and their Gymnasium environments."""
