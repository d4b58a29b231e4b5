# SPDX-License-Identifier: Apache-2.0
"""Episodes on disk, frames in memory, augmentation."""
