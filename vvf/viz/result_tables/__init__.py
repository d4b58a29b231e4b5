# SPDX-License-Identifier: Apache-2.0
"""The papers' tables and figures with ours beside theirs, from stored results only."""
