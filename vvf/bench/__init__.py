# SPDX-License-Identifier: Apache-2.0
"""Measurements of speed and losses, one module for each; `vvf bench NAME` runs them."""
