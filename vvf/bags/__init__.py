# SPDX-License-Identifier: Apache-2.0
"""Recorded episodes: one rosbag2 directory each, written and read without ROS."""

from vvf.bags.reader import BagReader, Loss, open_bag
from vvf.bags.writer import BagWriter, TopicSpec

__all__ = ['BagReader', 'BagWriter', 'Loss', 'TopicSpec', 'open_bag']
