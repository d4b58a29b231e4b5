# SPDX-License-Identifier: Apache-2.0
"""Policies, one file per algorithm."""
