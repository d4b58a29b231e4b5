# SPDX-License-Identifier: Apache-2.0
"""Metrics of value functions, and how checkpoints are scored."""
