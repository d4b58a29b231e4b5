# SPDX-License-Identifier: Apache-2.0
"""Does watching help? An ICVF from clips of other objects, fine-tuned on few episodes of a task.

    vvf collect pick_place --expert noisy --targets can bottle cube brick ball mushroom \
        --containers plate pot bin --distractors 3 --episodes 1000 --seed 800000 --out data/clips
    .venv/bin/python benchmarks/transfer.py --clips data/clips --target data/mixed \
        --held-out data/held_out --out runs/transfer

The clips are stripped of actions, states, outcomes, instructions and events: pictures are all that
is left. Then, for each number of target episodes and each seed, one model starts from the clips'
weights, one from the clips' encoders only, and one from scratch, all trained alike on images, and
all are judged on the same episodes held out. What is trained already is not trained again. Writes
`results.json`, `results.md` and `curves.png`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vvf.data import open_data
from vvf.viz.canvas import BLUE, GREY, ORANGE, Figure
from vvf.viz.chart import Panel
from vvf_models.checkpoints import METRICS_FILE, load_checkpoint
from vvf_models.data.chain import LazyEpisodes, fingerprint
from vvf_models.data.episode import Episode
from vvf_models.data.frames import FAILURE, SUCCESS, FrameStore
from vvf_models.evaluation.scoring import episode_values, outcomes
from vvf_models.evaluation.value_metrics import value_metrics
from vvf_models.training import train
from vvf_models.values.base import GoalSet
from vvf_models.values.icvf import Icvf, IcvfConfig

CAMERAS = ('shoulder', 'wrist')
METRICS = {'spearman_mean': 'Spearman on successes', 'auc_end': 'AUC at the end'}
STARTS = {
    'clips': ('all from clips', BLUE),
    'encoders': ('encoders from clips', ORANGE),
    'scratch': ('from scratch', GREY),
}
INIT = {'clips': 'init', 'encoders': 'init_encoder'}


class Clips(LazyEpisodes):
    """Episodes of which only the pictures are left."""

    def __init__(self, episodes: Sequence[Episode]) -> None:
        self.episodes = episodes

    def __len__(self) -> int:
        return len(self.episodes)

    def fingerprint(self) -> str:
        """Another one than of the whole episodes."""
        return f'clips {fingerprint(self.episodes)}'

    def read(self, number: int) -> Episode:
        """One episode's pictures and their stamps."""
        episode = self.episodes[number]
        return Episode(episode.images, stamps=episode.stamps, episode_id=episode.episode_id)


@dataclass(frozen=True)
class Job:
    """One model to train: from where, on how many episodes, with which seed."""

    start: str
    size: int
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f'{self.start}_{self.size}_{self.seed}'


def main() -> None:
    """Train what is missing, judge all, write the results."""
    args = _arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    base = {
        'cameras': CAMERAS,
        'state_dim': 0,
        'n_step': 5,
        'target_rate': 0.02,
        'held_out_fraction': 0.0,
        # The last weights are kept: with ten episodes there is none to choose by.
        'evaluate_every': 10**9,
    }
    video = args.out / 'video'
    if not (video / METRICS_FILE).is_file():
        config = IcvfConfig(**base, p_task=0.0)
        clips = Clips(open_data(args.clips))
        train('icvf', clips, config, video, steps=args.video_steps, cache=args.out / 'clips')
    target = FrameStore.from_episodes(open_data(args.target), CAMERAS, IcvfConfig().image_size)
    held_out = FrameStore.from_episodes(open_data(args.held_out), CAMERAS, target.image_size)
    rows = []
    for seed in range(args.seeds):
        for size in args.sizes:
            chosen = choose(target, size, seed)
            for start in STARTS:
                job = Job(start, size, seed)
                folder = args.out / job.name
                if not (folder / METRICS_FILE).is_file():
                    print(f'{job.name} ...', flush=True)
                    options: dict[str, Any] = {'seed': seed, 'goal_images': False}
                    if start in INIT:
                        options[INIT[start]] = video
                    config = IcvfConfig(**base)
                    train('icvf', chosen, config, folder, steps=args.steps, **options)
                rows.append({**vars(job), **judge(folder, held_out)})
    results = {'steps': args.steps, 'video_steps': args.video_steps, 'runs': rows}
    results['summary'] = summary = summarise(rows, args.sizes)
    (args.out / 'results.json').write_text(json.dumps(results, indent=1) + '\n')
    (args.out / 'results.md').write_text(table(summary))
    draw(rows, args.sizes).save(args.out / 'curves.png')
    print(table(summary))


def choose(store: FrameStore, size: int, seed: int) -> FrameStore:
    """Some episodes of a store: successes and failures as often as in the whole."""
    rng = np.random.default_rng([seed, 7])
    good = rng.permutation(np.flatnonzero(store.outcome == SUCCESS))
    bad = rng.permutation(np.flatnonzero(store.outcome == FAILURE))
    share = round(size * len(good) / (len(good) + len(bad)))
    episodes = np.sort(np.concatenate([good[:share], bad[: size - share]]))
    frames = store.frames_of(episodes)
    lengths = store.lengths[episodes]
    return FrameStore(
        images={camera: images[frames] for camera, images in store.images.items()},
        state=None,
        actions=None,
        starts=np.cumsum(lengths) - lengths,
        lengths=lengths,
        outcome=store.outcome[episodes],
        success_index=store.success_index[episodes],
        episode_ids=[store.episode_ids[e] for e in episodes],
        failure_kinds=[store.failure_kinds[e] for e in episodes],
        instructions=[store.instructions[e] for e in episodes],
    )


def judge(folder: Path, store: FrameStore) -> dict[str, float]:
    """The metrics of a checkpoint on the episodes held out, against the goals that it holds."""
    checkpoint = load_checkpoint(folder, 'icvf')
    assert isinstance(checkpoint.model, Icvf)
    everything = np.arange(store.n_episodes)
    goals = GoalSet(checkpoint.goals['latents'], checkpoint.goal_instructions)
    metrics = value_metrics(
        episode_values(checkpoint.model, store, everything, goals),
        outcomes(store, everything),
        [int(index) for index in store.success_index],
        bootstrap=0,
    )
    return {name: metrics[name] for name in METRICS}


def summarise(rows: list[dict[str, Any]], sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Mean, least and largest over seeds."""
    summary = []
    for size in sizes:
        for start in STARTS:
            runs = [row for row in rows if row['size'] == size and row['start'] == start]
            line: dict[str, Any] = {'size': size, 'start': start, 'seeds': len(runs)}
            for name in METRICS:
                values = [row[name] for row in runs]
                line |= {
                    name: float(np.mean(values)),
                    f'{name}_low': min(values),
                    f'{name}_high': max(values),
                }
            summary.append(line)
    return summary


def table(summary: list[dict[str, Any]]) -> str:
    """The summary for people."""
    lines = ['| episodes | start | ' + ' | '.join(METRICS.values()) + ' |']
    lines.append('|---' * (2 + len(METRICS)) + '|')
    for line in summary:
        cells = [
            f'{line[name]:.3f} ({line[f"{name}_low"]:.3f} to {line[f"{name}_high"]:.3f})'
            for name in METRICS
        ]
        lines.append(f'| {line["size"]} | {STARTS[line["start"]][0]} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines) + '\n'


def draw(rows: list[dict[str, Any]], sizes: Sequence[int]) -> Figure:
    """Curves over the number of episodes: the mean, and from the worst to the best seed."""
    figure = Figure(900, 360)
    axis = np.log10(sizes)
    for number, (name, title) in enumerate(METRICS.items()):
        box = (10 + 445 * number, 10, 435, 340)
        names = {float(x): str(size) for x, size in zip(axis, sizes, strict=True)}
        panel = Panel(box, title, 'target episodes', y_range=(0.3, 1.0), legend='se', x_names=names)
        for start, (label, colour) in STARTS.items():
            runs = [
                [r[name] for r in rows if r['size'] == size and r['start'] == start]
                for size in sizes
            ]
            low, high = np.array([min(r) for r in runs]), np.array([max(r) for r in runs])
            panel.band(axis, low, high, colour)
            panel.line(axis, np.array([np.mean(r) for r in runs]), colour, label)
        panel.draw(figure)
    return figure


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--clips', type=Path, required=True)
    parser.add_argument('--target', type=Path, required=True)
    parser.add_argument('--held-out', type=Path, required=True)
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--sizes', type=int, nargs='+', default=[10, 30, 100])
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--steps', type=int, default=400)
    parser.add_argument('--video-steps', type=int, default=1500)
    return parser.parse_args()


if __name__ == '__main__':
    main()
