# SPDX-License-Identifier: Apache-2.0
"""Pictures of values: the live plot and the report page."""
