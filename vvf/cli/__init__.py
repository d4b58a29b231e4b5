# SPDX-License-Identifier: Apache-2.0
"""The `vvf` command: one module for each sub-command, imported only when it is asked for."""
