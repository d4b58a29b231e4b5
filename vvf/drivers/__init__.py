# SPDX-License-Identifier: Apache-2.0
"""Arm drivers: what is behind the safety gate."""
