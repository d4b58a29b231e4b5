# SPDX-License-Identifier: Apache-2.0
"""Scripted experts that act on privileged state."""
