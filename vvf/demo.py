# SPDX-License-Identifier: Apache-2.0
"""The demo: run the graph, record some episodes, relabel them, and say how it went."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vvf.bags.reader import open_bag
from vvf.client import EpisodeResult, GraphClient, refuse_second_graph
from vvf.graph import GraphArguments, build_graph
from vvf.supervisor import Supervisor
from vvf_models.evaluation.value_metrics import spearman

VALUE_TOPIC = '/vvf/value'


@dataclass(frozen=True)
class LiveValues:
    """The live estimates of one recorded episode.

    Attributes:
        stamps: (T,) s, of the scored frames.
        value: (T,) in the model's unit.
        progress: (T,) in [0, 1].
        latency_ms: (T,) from a frame's stamp to its estimate.
    """

    stamps: NDArray[np.float64]
    value: NDArray[np.float64]
    progress: NDArray[np.float64]
    latency_ms: NDArray[np.float64]


def read_live_values(bag: Path) -> LiveValues:
    """The estimates on `/vvf/value` of a bag, in the order of their stamps."""
    rows = []
    with open_bag(bag) as reader:
        for _, kind, _, data in reader.messages([VALUE_TOPIC]):
            m = reader.deserialize(data, kind)
            stamp = m.header.stamp.sec + m.header.stamp.nanosec * 1e-9
            rows.append((stamp, m.value, m.progress, m.latency_ms))
    table = np.array(sorted(rows), np.float64).reshape(-1, 4)
    return LiveValues(*(table[:, i] for i in range(4)))


def run_episodes(
    task: str,
    arguments: GraphArguments,
    episodes: int,
    *,
    log: Callable[[str], None],
    log_dir: Path,
    on_episode: Callable[[int, EpisodeResult], None],
) -> list[EpisodeResult]:
    """Bring the graph up, run episodes one after the other, and take it down again.

    Raises:
        UserError: the graph did not come up, or stopped meanwhile.
    """
    specs = build_graph(task, arguments)
    lifecycle = tuple(s.name for s in specs if s.executable in ('value', 'policy'))
    results = []
    refuse_second_graph()
    with (
        Supervisor(specs, log=log, log_dir=log_dir, quiet=True) as supervisor,
        GraphClient(lambda: supervisor.failure is None) as client,
    ):
        client.wait_ready(lifecycle)
        for index in range(episodes):
            result = client.run_episode()
            results.append(result)
            on_episode(index, result)
    return results


def summarise(
    results: Sequence[EpisodeResult], values: Sequence[LiveValues], seconds: float
) -> dict[str, Any]:
    """The numbers of `summary.json`.

    `value_spearman_mean` is the rank correlation of the live value with time over successes;
    the ends are means of an episode's last three values. What has no episodes is `None`.
    """
    good = [v for r, v in zip(results, values, strict=True) if r.outcome == 'success']
    bad = [v for r, v in zip(results, values, strict=True) if r.outcome == 'failure']
    latencies = np.concatenate([v.latency_ms for v in values]) if values else np.zeros(0)
    rates = [
        (len(v.stamps) - 1) / (v.stamps[-1] - v.stamps[0]) for v in values if len(v.stamps) > 1
    ]
    return {
        'episodes': len(results),
        'successes': len(good),
        'success_rate': len(good) / len(results) if results else None,
        'value_spearman_mean': _mean([spearman(v.value) for v in good]),
        'value_end_success_mean': _mean([v.value[-3:].mean() for v in good if v.value.size]),
        'value_end_failure_mean': _mean([v.value[-3:].mean() for v in bad if v.value.size]),
        'value_hz': _mean(rates),
        'value_latency_ms_p50': _percentile(latencies, 50),
        'value_latency_ms_p99': _percentile(latencies, 99),
        'seconds': round(seconds, 1),
        'per_episode': [
            {
                'episode_id': r.episode_id,
                'outcome': r.outcome,
                'steps': r.steps,
                'seconds': round(r.seconds, 1),
                'value_spearman': spearman(v.value) if v.value.size > 1 else None,
                'value_end': float(v.value[-3:].mean()) if v.value.size else None,
            }
            for r, v in zip(results, values, strict=True)
        ],
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _percentile(values: NDArray[np.float64], percentile: float) -> float | None:
    return float(np.percentile(values, percentile)) if values.size else None


def fresh_folder(path: Path) -> Path:
    """`path`, emptied of the last run by moving that aside: nothing recorded is ever deleted."""
    if path.exists() and any(path.iterdir()):
        stamp = time.strftime('%Y%m%d-%H%M%S', time.localtime(path.stat().st_mtime))
        aside = path.with_name(f'{path.name}-{stamp}')
        number = 2
        while aside.exists():
            aside, number = path.with_name(f'{path.name}-{stamp}-{number}'), number + 1
        path.rename(aside)
    path.mkdir(parents=True, exist_ok=True)
    return path
