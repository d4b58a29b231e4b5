# SPDX-License-Identifier: Apache-2.0
"""How much faster `vvf relabel` is than scoring a bag frame by frame, both in one run.

    .venv/bin/python benchmarks/relabel_batches.py BAG --value checkpoints/icvf_pick_place

The baseline is what one writes first: read a message, decode it, score it, read the next one, with
the same model on the same single thread. Frames per second of both, and their ratio.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from vvf.bags.reader import open_bag
from vvf.bags.relabel import RelabelOptions, relabel
from vvf.cli.relabel import load_model
from vvf.images import to_rgb
from vvf.state import StateAssembler
from vvf.sync import Synchroniser
from vvf.task import TaskSpec, load_task


def frame_by_frame(bag: Path, task: TaskSpec, model) -> tuple[int, float]:
    """Frames scored one at a time, and the seconds it took."""
    sync = Synchroniser(task, model.cameras, state=bool(model.state_dim))
    assembler = StateAssembler(task)
    count, began = 0, time.perf_counter()
    with open_bag(bag) as reader:
        for topic, kind, _, data in reader.messages(sync.topics):
            message = reader.deserialize(data, kind)
            stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
            for seen in sync.push(topic, stamp, message):
                images = {name: to_rgb(m)[None] for name, m in seen.images.items()}
                state = assembler.assemble(seen.messages)[None] if model.state_dim else None
                model.value(model.encode(images, state))
                count += 1
    return count, time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('bag', type=Path)
    parser.add_argument('--value', required=True, help='the value checkpoint')
    parser.add_argument('--task', help='task of the bag, if it names none')
    args = parser.parse_args()
    model, fingerprint = load_model(args.value)
    with open_bag(args.bag) as reader:
        task = load_task(args.task) if args.task else reader.task
    assert task is not None, 'the bag names no task: give one with --task'
    frame_by_frame(args.bag, task, model)  # warm caches and the model
    frames, seconds = frame_by_frame(args.bag, task, model)
    with tempfile.TemporaryDirectory() as out:
        options = RelabelOptions(out=Path(out) / 'x', fingerprint=fingerprint, tag='b', task=task)
        summary = relabel([args.bag], model, options, lambda *_: None)
    numbers = summary.numbers()
    rate, baseline = numbers['frames_per_s'], frames / seconds
    print(f'frame by frame  {frames:6d} frames  {baseline:8.1f} frames/s')
    print(f'vvf relabel     {summary.frames_scored:6d} frames  {rate:8.1f} frames/s')
    print(f'ratio           {rate / baseline:.2f}')


if __name__ == '__main__':
    main()
