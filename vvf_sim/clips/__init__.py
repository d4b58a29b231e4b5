# SPDX-License-Identifier: Apache-2.0
"""Clips of a person's hand at a table: video without a robot and without actions.

They stand in for clips of Ego4D where those cannot be had: an egocentric camera that is never
still, hands of many looks, many things, tables and rooms, and a sentence for each clip.
"""

from vvf_sim.clips.clip import Clip, ClipConfig, make_clip

__all__ = ['Clip', 'ClipConfig', 'make_clip']
