# SPDX-License-Identifier: Apache-2.0
"""Value functions, one file per algorithm."""
