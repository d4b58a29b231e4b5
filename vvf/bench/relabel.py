# SPDX-License-Identifier: Apache-2.0
"""How fast `vvf relabel` is, beside the loop one writes first and what the machine could do.

Without --data a bag with two JPEG cameras is made, and without --value a ResNet-v2-26 at 128 px
with random weights, whose speed is that of trained ones. The loop is rosbags, cv2 and eager torch,
frame by frame. Speeds are frames per second, a frame being one image of each camera. Reading,
scoring and writing the siblings and the table count, loading the models does not.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vvf.bags.reader import is_bag, open_bag
from vvf.bags.typestore import typestore
from vvf.bags.writer import BagWriter, TopicSpec
from vvf.bench.encoder import encoder_gflop, encoder_rate, matmul_peak_gflops
from vvf.cli.output import add_json_option, write_json
from vvf.cli.relabel import add_engine_device, model_specs
from vvf.errors import UserError
from vvf.images import encode_jpeg, to_rgb
from vvf.relabelling import OWN, ModelSpec, RelabelOptions, relabel
from vvf.relabelling.calibrating import calibration_frames
from vvf.relabelling.judging import Judge
from vvf.relabelling.plan import needs_of, plan, views_of_bag
from vvf.state import StateAssembler
from vvf.task import TaskSpec, load_task

_TASK = """
name: bench
instruction: put the cube into the box
robot: none
rate_hz: 30.0
cameras:
- {name: front, topic: /front/image_raw/compressed, transport: compressed}
- {name: wrist, topic: /wrist/image_raw/compressed, transport: compressed}
"""
_PERIOD_NS = 33_333_333
_LOOP = 8  # frames until the pictures repeat; decoding does not know
_PEAK_TYPES = {'int8': 'bfloat16'}  # torch has no matrix product in int8 for CPUs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vvf bench relabel`."""
    parser.add_argument('--data', type=Path, metavar='BAG', help='a bag [one that is made]')
    parser.add_argument('--task', help='task of the bag, if it names none')
    parser.add_argument('--value', metavar='CKPT', help='a checkpoint [ResNet-v2-26 at 128 px]')
    parser.add_argument('--frames', type=int, default=600, help='length of the made bag [600]')
    parser.add_argument(
        '--baseline-frames', type=int, default=60, help='frames that the plain loop scores [60]'
    )
    parser.add_argument('--batch', type=int, default=64, help='frames per batch [64]')
    parser.add_argument('--threads', type=int, default=0, help='as for `vvf relabel`')
    add_engine_device(parser)
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run `vvf bench relabel`."""
    if args.frames < 2 or args.baseline_frames < 1 or args.batch < 1 or args.threads < 0:
        raise UserError('--frames must be at least 2, --baseline-frames and --batch at least 1')
    if args.data is not None and not is_bag(args.data):
        raise UserError(f'{args.data} is not a bag: the plain loop reads bags only')
    with tempfile.TemporaryDirectory(prefix='vvf-bench-') as scratch:
        numbers = measure(args, Path(scratch))
    _print(numbers)
    write_json(args.json, numbers)
    return 0


def measure(args: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """All numbers.

    Args:
        args: Of the command line.
        scratch: An empty folder.

    Returns:
        frames, frames_per_s, baseline_frames_per_s, speedup; encoder_frames_per_s (encoding alone,
        of images in memory), encoder_fraction_of_achievable (of that); matmul_peak_gflops (in the
        precision of the engine, bfloat16 for int8), encoder_gflop (per frame),
        encoder_fraction_of_peak (frames_per_s times that, of the peak); engine, precision, threads,
        baseline_threads, cameras; seconds by stage.

    Raises:
        UserError: As for `vvf relabel`.
    """
    import torch

    own_threads = torch.get_num_threads()  # what anybody's loop would have
    bag = args.data or make_bag(scratch / 'bag', args.frames)
    model = model_specs([args.value])[0] if args.value else make_checkpoint(scratch / 'resnetv2_26')
    with open_bag(bag) as reader:
        task = load_task(args.task) if args.task else reader.task
    if task is None:
        raise UserError(f'{bag} holds no task file: name the task with --task')
    options = RelabelOptions(
        out=scratch / 'out', task=task, batch=args.batch, engine_device=args.engine_device,
        threads=args.threads,
    )  # fmt: skip
    baseline = plain_loop(bag, task, model, args.baseline_frames, own_threads)
    needs = [needs_of(model)]
    frames: Any = [None]
    if args.engine_device == 'openvino-int8':
        frames = calibration_frames(plan([bag], needs, options, []), needs, options)
    # The same frames and weights as in the run, whose engine is then in the cache.
    runtime = Judge(model, [OWN], options, frames[0]).runtime
    threads = torch.get_num_threads()
    peak = matmul_peak_gflops(_PEAK_TYPES.get(runtime.precision, runtime.precision))
    achievable = encoder_rate(runtime, args.batch)
    gflop = encoder_gflop(runtime)
    summary = relabel([bag], [model], options)
    rate = summary.frames_scored / (summary.seconds['score'] + summary.seconds['write'])
    return {
        'frames': summary.frames_scored,
        'frames_per_s': rate,
        'baseline_frames_per_s': baseline,
        'speedup': rate / baseline,
        'encoder_frames_per_s': achievable,
        'encoder_fraction_of_achievable': rate / achievable,
        'matmul_peak_gflops': peak,
        'encoder_gflop': gflop,
        'encoder_fraction_of_peak': rate * gflop / peak,
        'engine': runtime.engine,
        'precision': runtime.precision,
        'threads': threads,
        'baseline_threads': own_threads,
        'cameras': len(runtime.cameras),
        'seconds': summary.numbers()['seconds'],
    }


def plain_loop(bag: Path, task: TaskSpec, model: ModelSpec, frames: int, threads: int) -> float:
    """Frames per second of what one writes first: read, decode, scale, encode, one after the other.

    Args:
        bag: The bag.
        task: Its task.
        model: The model; loaded as training left it, on eager torch.
        frames: How many to score.
        threads: Of torch.

    Raises:
        UserError: The bag holds no frame.
    """
    import torch
    from rosbags.highlevel import AnyReader

    from vvf_models.runtime import load_value

    runtime = load_value(model.checkpoint, 1, 'torch')
    torch.set_num_threads(threads)
    runtime.set_instruction(task.instruction)
    goal, network = runtime.goal, _as_trained(model)
    needs = needs_of(model)
    cameras = views_of_bag(task, [needs], {})[0]
    topics = {task.camera(view[0]).topic: name for name, view in cameras.items()}
    states = tuple(source.topic for source in task.state) if needs.state_dim else ()
    assembler = StateAssembler(task)
    size, images, messages = needs.image_size, {}, {}
    count, began = 0, time.perf_counter()
    with AnyReader([bag], default_typestore=typestore()) as reader, torch.inference_mode():
        wanted = [c for c in reader.connections if c.topic in (*topics, *states)]
        reference = task.camera(next(iter(cameras.values()))[0]).topic
        for connection, _, raw in reader.messages(wanted):
            message = reader.deserialize(raw, connection.msgtype)
            if connection.topic in states:
                messages[connection.topic] = message
                continue
            image = _seen(message)
            small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
            pixels = torch.from_numpy(small).permute(2, 0, 1)[None].float() / 127.5 - 1
            images[topics[connection.topic]] = pixels
            complete = len(images) == len(topics) and len(messages) == len(states)
            if connection.topic != reference or not complete:
                continue
            state = None
            if states:
                state = network.normalise(torch.from_numpy(assembler.assemble(messages))[None])
            network.estimate(network.encode([images[c] for c in needs.cameras], state), goal)
            if not count:
                began = time.perf_counter()  # what is compiled or allocated once is not counted
            count += 1
            if count > frames:
                break
    if count < 2:
        raise UserError(f'{bag} holds {count} frames, too few to measure a speed by')
    return (count - 1) / (time.perf_counter() - began)


def _seen(message: Any) -> npt.NDArray[np.uint8]:
    if hasattr(message, 'encoding'):
        raw: npt.NDArray[np.uint8] = to_rgb(message)
        return raw
    bgr = cv2.imdecode(np.asarray(message.data, np.uint8), cv2.IMREAD_COLOR)
    rgb: npt.NDArray[np.uint8] = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return rgb


def _as_trained(model: ModelSpec) -> Any:
    from vvf_models.checkpoints import load_checkpoint

    return load_checkpoint(model.checkpoint).model


def make_checkpoint(folder: Path) -> ModelSpec:
    """An ICVF with a ResNet-v2-26 for each of two cameras at 128 px, with random weights."""
    import torch

    from vvf_models.checkpoints import save_checkpoint
    from vvf_models.values.icvf import Icvf, IcvfConfig

    torch.manual_seed(0)
    cameras = ('front', 'wrist')
    config = IcvfConfig(cameras=cameras, state_dim=0, image_size=128, encoder='resnetv2-26')
    goals = {c: torch.randint(0, 256, (4, 3, 128, 128), dtype=torch.uint8) for c in cameras}
    save_checkpoint(folder, 'icvf', config, Icvf(config).state_dict(), 'untrained', goals)
    return ModelSpec(folder)


def make_bag(path: Path, frames: int) -> Path:
    """A bag with two cameras of 640x480 at 30 Hz, as JPEG: a square that moves, on a gradient."""
    task = TaskSpec.from_yaml(_TASK, 'bench')
    topics = [TopicSpec(t.topic, t.type, t.qos) for t in task.recorded_topics()]
    custom = {'task_file': task.to_yaml(), 'episode_id': path.name, 'outcome': 'success'}
    store = typestore()
    make = store.types
    pictures = [
        [np.frombuffer(encode_jpeg(_picture(i, seed)), np.uint8) for i in range(_LOOP)]
        for seed in range(len(task.cameras))
    ]
    with BagWriter(path, topics, custom) as writer:
        for number in range(frames):
            stamp = 1_700_000_000_000_000_000 + number * _PERIOD_NS
            time_ = make['builtin_interfaces/msg/Time'](*divmod(stamp, 1_000_000_000))
            for camera, jpegs in zip(task.cameras, pictures, strict=True):
                header = make['std_msgs/msg/Header'](time_, camera.name)
                message = make[camera.type](header, 'jpeg', jpegs[number % _LOOP])
                writer.write(camera.topic, stamp, bytes(store.serialize_cdr(message, camera.type)))
    return path


def _picture(index: int, seed: int) -> npt.NDArray[np.uint8]:
    """As hard to decode as a photograph: some 100 kB as JPEG."""
    rows, columns = np.mgrid[0:480, 0:640].astype(np.float32)
    light = 90 + 60 * np.sin(columns / 97 + seed) + 50 * np.cos(rows / 71)
    noise = np.random.default_rng((seed, index)).normal(0, 6, (480, 640, 3))
    image = np.clip(light[..., None] + (0, 12, 25) + noise, 0, 255)
    left = 40 + 60 * index
    image[200:280, left : left + 80] = (240, 120, 20)
    return np.asarray(image, np.uint8)


def _print(numbers: dict[str, Any]) -> None:
    seconds = numbers['seconds']
    lines = [
        ('plain loop', f'{numbers["baseline_frames_per_s"]:9.1f} frames/s'),
        (
            f'vvf relabel ({numbers["engine"]}, {numbers["precision"]})',
            f'{numbers["frames_per_s"]:9.1f} frames/s, {numbers["speedup"]:.1f} times as many',
        ),
        (
            'the encoder alone',
            f'{numbers["encoder_frames_per_s"]:9.1f} frames/s, of which relabelling reaches '
            f'{numbers["encoder_fraction_of_achievable"]:.0%}',
        ),
        (
            'matrix products',
            f'{numbers["matmul_peak_gflops"]:9.1f} GFLOP/s, of which relabelling reaches '
            f'{numbers["encoder_fraction_of_peak"]:.0%}',
        ),
        ('seconds', ', '.join(f'{name} {value:.2f}' for name, value in seconds.items())),
    ]
    print(f'{numbers["frames"]} frames of {numbers["cameras"]} cameras')
    for title, text in lines:
        print(f'{title:34}{text}')
