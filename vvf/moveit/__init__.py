# SPDX-License-Identifier: Apache-2.0
"""Moves around what stands on the table, planned by MoveIt where it is installed."""
