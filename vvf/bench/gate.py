# SPDX-License-Identifier: Apache-2.0
"""How well the value gate notices slips and pushes, and what its reactions are worth.

The policy is tried in simulation on disturbed episodes, half slips and half pushes, and on clean
ones. The bound of the fall is chosen on seeds of its own; on others it is told which share of the
disturbances is noticed within a second, how many false alarms 100 clean episodes have, and how
often the policy succeeds without the gate and with each of its reactions. An episode in which the
gate has nothing to say goes as without it, and is not run again. With --out, a run that was stopped
goes on where it was.
"""

from __future__ import annotations

import argparse
import math
import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vvf.cli.output import add_json_option, progress_bar, write_json
from vvf.cli.scene import add_scene_options, scene_of
from vvf.errors import UserError
from vvf.value_gate import REACTIONS, GateConfig

if TYPE_CHECKING:
    from vvf.bench.gate_judge import Judged
    from vvf.rollouts import Rollout, RolloutJob
    from vvf.rollouts.store import RolloutStore

DROPS = (0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3)
_ACTING = tuple(r for r in REACTIONS if r not in ('none', 'report'))
_KINDS = ('slip', 'push', 'clean')
# Seeds that choose the bound lie this far from those that it is judged on.
_APART = 100000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vvf bench gate`."""
    add = parser.add_argument
    add('--policy', default='checkpoints/bc_pick_place', help='[checkpoints/bc_pick_place]')
    add('--value', default='checkpoints/distributional_objects', metavar='CHECKPOINT',
        help='[checkpoints/distributional_objects]')  # fmt: skip
    add('--task', default='pick_place', help='[pick_place]')
    add_scene_options(parser)
    add('--episodes', type=int, default=50, metavar='N', help='disturbed ones [50]')
    add('--clean', type=int, default=100, metavar='N', help='undisturbed ones [100]')
    add('--seed', type=int, default=800000, help='of the first layout [800000]')
    add('--reactions', nargs='*', choices=_ACTING, default=_ACTING,
        help=f'[{" ".join(_ACTING)}]')  # fmt: skip
    add('--drops', type=float, nargs='+', default=DROPS, metavar='D',
        help=f'bounds to choose from [{" ".join(map(str, DROPS))}]')  # fmt: skip
    add('--window', type=float, default=GateConfig.window_s, metavar='S',
        help=f'of the fall [{GateConfig.window_s}]')  # fmt: skip
    add('--most-false', type=float, default=5.0, metavar='N',
        help='false alarms in 100 clean episodes that are put up with [5]')  # fmt: skip
    add('--workers', type=int, default=os.cpu_count() or 1, metavar='N',
        help='processes [all cores]')  # fmt: skip
    add('--out', type=Path, metavar='FOLDER', help='keep each episode and the results here')
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run `vvf bench gate`."""
    from vvf.bench.gate_judge import best_bound, judge
    from vvf.rollouts.from_task import checkpoint_folder, job_of, settings_of
    from vvf.rollouts.store import RolloutStore
    from vvf.task import load_task

    if args.episodes < 2 or args.clean < 1 or args.workers < 1 or args.seed < 0:
        raise UserError('--episodes must be at least 2, --clean and --workers 1, --seed 0.')
    gates = [GateConfig('report', drop, args.window) for drop in sorted(set(args.drops))]
    task = load_task(args.task)
    policy, value = checkpoint_folder(args.policy), checkpoint_folder(args.value)
    job = job_of(task, policy, args.seed, scene_of(args, task), value=value)
    store = RolloutStore(args.out, settings_of(job, 'gate', 'disturbance'))
    bench = _Bench(args, store, job)
    period_s = 1.0 / job.rate_hz

    watched = bench.all_kinds('choose', args.seed + _APART)
    swept = [judge(_disturbed(watched), watched['clean'], gate, period_s) for gate in gates]
    bound = best_bound(swept, args.most_false)
    print(_sweep_table(swept, bound))

    plain = bench.all_kinds('none', args.seed)
    gate = replace(gates[0], drop=bound.drop)
    told = {
        kind: judge(rollouts, plain['clean'], gate, period_s)
        for kind, rollouts in (*((k, plain[k]) for k in _KINDS[:2]), ('both', _disturbed(plain)))
    }
    print(_told_table(told))
    reacted = {'none': plain}
    for reaction in args.reactions:
        reacted[reaction] = bench.react(plain, replace(gate, reaction=reaction), period_s)
    rows = _rows(reacted, told, 1.0 / period_s)
    for row in rows:
        reaction = row['reaction']
        series = 'none' if reaction == 'none' else _series(replace(gate, reaction=reaction))
        row['seconds'] = bench.seconds[series, row['kind']]
    print(_reaction_table(rows))
    write_json(args.json, {
        'policy': args.policy, 'value': args.value, 'drop': bound.drop, 'window_s': args.window,
        'sweep': [_numbers(each) for each in swept],
        'told': {kind: _numbers(each) for kind, each in told.items()},
        'reactions': rows,
    })  # fmt: skip
    if args.out is not None:
        _store(args.out, job, rows)
    return 0


class _Bench:
    """Runs what is not kept yet."""

    def __init__(self, args: argparse.Namespace, store: RolloutStore, job: RolloutJob) -> None:
        from vvf.provenance import checkpoint_id

        self._args, self._store, self._job = args, store, job
        self._policy = checkpoint_id(str(job.policy))
        #: Of wall clock, by series and kind; NaN where a part of it was there already.
        self.seconds: dict[tuple[str, str], float] = {}

    def all_kinds(self, name: str, first: int) -> dict[str, list[Rollout]]:
        """Watched rollouts of slips, pushes and clean episodes."""
        n, clean = self._args.episodes, self._args.clean
        slips, pushes = range(first, first + n // 2), range(first + n // 2, first + n)
        seeds = {'slip': slips, 'push': pushes, 'clean': range(first + n, first + n + clean)}
        return {kind: self._run(name, kind, seeds[kind], GateConfig()) for kind in _KINDS}

    def react(
        self, plain: dict[str, list[Rollout]], gate: GateConfig, period_s: float
    ) -> dict[str, list[Rollout]]:
        """The same episodes with a gate; those without a fall are as they were."""
        from vvf.bench.gate_judge import falls_of

        found = {}
        for kind, rollouts in plain.items():
            seeds = [r.seed for r in rollouts if falls_of(r, gate, period_s)]
            anew = {r.seed: r for r in self._run(_series(gate), kind, seeds, gate)}
            found[kind] = [anew.get(r.seed, r) for r in rollouts]
        return found

    def _run(self, name: str, kind: str, seeds: Sequence[int], gate: GateConfig) -> list[Rollout]:
        from vvf_sim.disturbances import Disturbance

        disturbance = None if kind == 'clean' else Disturbance(kind)
        jobs = [replace(self._job, seed=seed, gate=gate, disturbance=disturbance) for seed in seeds]
        results = []
        began = time.monotonic()
        with progress_bar('episodes') as bar:
            row = bar.add_task(f'{name}, {kind}', total=len(jobs))
            series = f'{self._policy}_{name}_{kind}'
            fresh = not self._store.done(series)
            for result in self._store.run(series, jobs, self._args.workers):
                results.append(result)
                bar.update(row, advance=1)
        took = time.monotonic() - began if jobs else 0.0
        self.seconds[name, kind] = took if fresh else math.nan
        return sorted(results, key=lambda r: r.seed)


def _series(gate: GateConfig) -> str:
    return f'{gate.reaction}_{gate.drop:g}_{gate.window_s:g}'


def _disturbed(rollouts: dict[str, list[Rollout]]) -> list[Rollout]:
    return rollouts['slip'] + rollouts['push']


def _rows(
    reacted: dict[str, dict[str, list[Rollout]]], told: dict[str, Judged], rate_hz: float
) -> list[dict[str, Any]]:
    """Numbers of each reaction and kind of episode, the comparison with no gate among them."""
    from vvf.rollouts.summary import compare, summary

    rows = []
    for reaction, kinds in reacted.items():
        for kind, rollouts in kinds.items():
            row = {'reaction': reaction, 'kind': kind, **summary(rollouts, rate_hz)}
            if reaction != 'none':
                row['against_none'] = asdict(compare(reacted['none'][kind], rollouts))
            if kind in told:
                row.update({f'gate_{k}': v for k, v in _numbers(told[kind]).items()})
            rows.append(row)
    return rows


def _numbers(judged: Judged) -> dict[str, Any]:
    return {**asdict(judged), 'share': judged.share, 'false_per_100': judged.false_per_100}


def _sweep_table(swept: Sequence[Judged], bound: Judged) -> str:
    lines = ['| drop, on the seeds that choose | noticed within 1 s | false alarms per 100 |',
             '|---:|---:|---:|']  # fmt: skip
    for each in swept:
        mark = ' (chosen)' if each is bound else ''
        lines.append(f'| {each.drop:g}{mark} | {each.share:.2f} | {each.false_per_100:.1f} |')
    return '\n'.join(lines) + '\n'


def _told_table(told: dict[str, Judged]) -> str:
    lines = ['| disturbance | noticed within 1 s | median delay | false alarms per 100 |',
             '|---|---:|---:|---:|']  # fmt: skip
    for kind, each in told.items():
        lines.append(
            f'| {kind} | {each.noticed} of {each.disturbed} ({each.low:.2f} to {each.high:.2f}) | '
            f'{each.delay_s:.1f} s | {each.false_per_100:.1f} of {each.clean} |'
        )
    return '\n'.join(lines) + '\n'


def _reaction_table(rows: Sequence[dict[str, Any]]) -> str:
    kinds = {row['reaction']: {} for row in rows}  # type: dict[str, dict[str, Any]]
    for row in rows:
        kinds[row['reaction']][row['kind']] = row
    lines = ['| gate | ' + ' | '.join(f'{kind}: succeed, steps' for kind in _KINDS)
             + ' | human steps |', '|---|' + '---:|' * 4]  # fmt: skip
    for reaction, of_kind in kinds.items():
        cells = [
            f'{of_kind[k]["successes"]} of {of_kind[k]["episodes"]}, {of_kind[k]["steps_mean"]:.1f}'
            for k in _KINDS
        ]
        shares = ' / '.join(f'{of_kind[k]["human_share"]:.0%}' for k in _KINDS)
        lines.append(f'| {reaction} | ' + ' | '.join(cells) + f' | {shares} |')
    return '\n'.join(lines)


def _store(folder: Path, job: RolloutJob, rows: Sequence[dict[str, Any]]) -> None:
    from vvf.stored_results import StoredResult, this_machine, write_result

    command, machine = shlex.join(['vvf', *sys.argv[1:]]), this_machine()
    for row in rows:
        numbers: dict[str, float | list[float]] = {
            key: float(v)
            for key, v in row.items()
            if isinstance(v, int | float) and key != 'seconds'
        }
        method = row['reaction']
        result = StoredResult(
            experiment='value_gate', method=method, condition=row['kind'], seed=0, task=job.task,
            robot=job.config.arm, episodes=row['episodes'], successes=row['successes'],
            numbers=numbers, seconds=row['seconds'], command=command, machine=machine,
        )  # fmt: skip
        write_result(folder / 'results' / f'{method}_{row["kind"]}.json', result)
