# SPDX-License-Identifier: Apache-2.0
"""`vvf eval policy`: tries policies in simulation, on the same seeds."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vvf.cli.output import add_json_option, progress_bar, write_json
from vvf.cli.scene import add_scene_options, scenario_name, scene_of
from vvf.errors import UserError
from vvf.pool import ENGINES
from vvf.value_gate import REACTIONS, GateConfig

if TYPE_CHECKING:
    from vvf.rollouts import Rollout, RolloutJob
    from vvf.task import TaskSpec

_SEEDS = 1 << 62  # of layouts; seeds of 64 bits and more fit no array
_DISTURB = ('none', 'slip', 'push')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `vvf eval policy` takes."""
    add = parser.add_argument
    add('checkpoints', nargs='+', metavar='CHECKPOINT',
        help='folders of policy checkpoints; two are compared seed by seed')  # fmt: skip
    add('--task', default='pick_place', help='[pick_place]')
    add('--episodes', type=int, default=50, help='[50]')
    add('--seed', type=int, default=700000, help='of the first layout [700000]')
    add_scene_options(parser)
    add('--renderer', default='auto', help='auto, egl, osmesa or ray [auto]')
    add('--execute', type=int, default=0, metavar='STEPS', help="of each chunk [the task's]")
    add('--guidance', type=float, metavar='B',
        help="how far beyond its data RECAP's policy goes [the checkpoint's]")  # fmt: skip
    add('--temperature', type=float, metavar='T',
        help="of the noise that RECAP's policy, or CQL's candidates, are drawn from; 0: none "
        "[the checkpoint's]")  # fmt: skip
    add('--candidates', type=int, default=1, metavar='N',
        help='of a policy with a Q function: draws, of which the best is taken [1]')  # fmt: skip
    add('--interventions', type=int, default=0, metavar='STEPS',
        help='an error may last before a human stand-in takes over [0: nobody]')  # fmt: skip
    add('--stalled', type=int, default=0, metavar='STEPS',
        help='without a milestone before the stand-in takes over, too [0: never]')  # fmt: skip
    add('--value', metavar='CHECKPOINT',
        help="value model that watches [with --gate: the task's]")  # fmt: skip
    add('--gate', choices=REACTIONS, default='none',
        help='what is done when the progress falls [none]')  # fmt: skip
    plain = GateConfig()
    add('--gate-drop', type=float, default=plain.drop, metavar='D',
        help=f'fall of the progress that counts [{plain.drop}]')  # fmt: skip
    add('--gate-window', type=float, default=plain.window_s, metavar='S',
        help=f'within how long [{plain.window_s}]')  # fmt: skip
    add('--disturb', choices=_DISTURB, default='none', help='once in each episode [none]')
    add('--reset-s', type=float, default=0.0, metavar='S',
        help='what an episode costs besides its steps, for the successes per hour [0]')  # fmt: skip
    add('--engine', choices=ENGINES, default='local', help='[local]')
    add('--workers', '--jobs', type=int, default=os.cpu_count() or 1, metavar='N',
        help='processes [all cores]')  # fmt: skip
    add('--out', type=Path, metavar='FOLDER',
        help='keep each episode and the results here, and go on from what is there')  # fmt: skip
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run `vvf eval policy`."""
    from vvf.rollouts.from_task import checkpoint_folder, settings_of
    from vvf.rollouts.store import RolloutStore
    from vvf.rollouts.summary import compare, in_words, summary
    from vvf.task import load_task

    task = load_task(args.task)
    if args.episodes < 1 or args.workers < 1 or min(args.execute, args.seed) < 0:
        raise UserError('--episodes and --workers must be at least 1, --execute and --seed 0.')
    if args.seed + args.episodes > _SEEDS:
        raise UserError(f'--seed and the layouts after it must be below {_SEEDS}.')
    if args.interventions < 0 or args.stalled < 0 or (args.stalled and not args.interventions):
        raise UserError('--interventions and --stalled are steps; --stalled wants --interventions.')
    if args.candidates < 1 or args.reset_s < 0:
        raise UserError('--candidates must be at least 1, and --reset-s at least 0.')
    policies = [checkpoint_folder(name) for name in args.checkpoints]
    names = _names(policies)
    job = _job(args, task, policies[0])
    store = RolloutStore(args.out, settings_of(job))
    numbers: dict[str, Any] = {}
    rollouts: dict[str, list[Rollout]] = {}
    for policy, name in zip(policies, names, strict=True):
        began = time.monotonic()
        series = _series(policy, name)
        rollouts[name], fresh = _try(store, args, job, policy, name, series)
        numbers[name] = {'policy': name, **summary(rollouts[name], job.rate_hz, args.reset_s)}
        for line in in_words(numbers[name]):
            print(line)
        if args.out is not None:
            seconds = time.monotonic() - began if fresh else float('nan')
            path = args.out / f'{series}_seed_{args.seed}.json'
            _store(path, args, task, job, policy, name, numbers[name], rollouts[name], seconds)
    found: dict[str, Any] = {'policies': numbers} if len(names) > 1 else numbers[names[0]]
    if len(names) == 2:
        paired = compare(rollouts[names[0]], rollouts[names[1]])
        print(
            f'on the same {paired.episodes} seeds: only {names[0]} succeeds in '
            f'{paired.only_first}, only {names[1]} in {paired.only_second}; success of '
            f'{names[1]} less that of {names[0]}: {100 * paired.difference:+.0f} points (95 % '
            f'interval {100 * paired.low:+.0f} to {100 * paired.high:+.0f}), McNemar p = '
            f'{paired.p_value:.2g}'
        )
        found['comparison'] = {'first': names[0], 'second': names[1], **asdict(paired)}
    write_json(args.json, found)
    return 0


def _names(policies: Sequence[Path]) -> list[str]:
    """A short name for each, that no other has."""
    if len(set(policies)) < len(policies):
        raise UserError('a policy is named twice: name each once.')
    short = [policy.name for policy in policies]
    parts = 1
    while len(set(short)) < len(short):
        parts += 1
        short = ['_'.join(policy.parts[-parts:]) for policy in policies]
    return short


def _job(args: argparse.Namespace, task: TaskSpec, policy: Path) -> RolloutJob:
    """What all episodes have in common."""
    from vvf.rollouts.from_task import checkpoint_folder, job_of
    from vvf_sim.disturbances import Disturbance

    value = args.value or (task.models.value if args.gate != 'none' else '')
    entries = {'execute': args.execute} if args.execute else {}
    return job_of(
        task,
        policy,
        args.seed,
        {'renderer': args.renderer, **scene_of(args, task)},
        guidance=args.guidance,
        temperature=args.temperature,
        candidates=args.candidates,
        patience=args.interventions,
        stalled=args.stalled,
        value=checkpoint_folder(value) if value else None,
        gate=GateConfig(args.gate, args.gate_drop, args.gate_window),
        disturbance=None if args.disturb == 'none' else Disturbance(args.disturb),
        **entries,
    )


def _series(policy: Path, name: str) -> str:
    """What files are named by: a policy that was trained anew is another one."""
    from vvf.provenance import checkpoint_id

    return checkpoint_id(str(policy)).replace(policy.name, name, 1)


def _try(
    store: Any, args: argparse.Namespace, job: RolloutJob, policy: Path, name: str, series: str
) -> tuple[list[Rollout], bool]:
    """All episodes of a policy by their seeds, and whether none of them was kept from before."""
    from vvf_models.runtime import load_policy

    load_policy(policy)  # a wrong checkpoint is one sentence here, not one for each process
    seeds = range(args.seed, args.seed + args.episodes)
    jobs = [replace(job, policy=policy, seed=seed) for seed in seeds]
    fresh = not set(store.done(series)) & set(seeds)
    results: list[Rollout] = []
    with progress_bar('episodes') as bar:
        row = bar.add_task(name, total=len(jobs))
        for result in store.run(series, jobs, args.workers, args.engine):
            results.append(result)
            good = sum(r.success for r in results)
            bar.update(row, advance=1, description=f'{name}: {good} of {len(results)} succeed')
    return sorted(results, key=lambda result: result.seed), fresh


def _condition(args: argparse.Namespace, task: TaskSpec, job: RolloutJob) -> str:
    """What tells results of one policy, task and robot apart: all that is not as it usually is."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    plain = parser.parse_args(['', '--task', args.task])
    plain.arm, plain.scenario = args.arm, args.scenario
    usual = _job(plain, task, job.policy)
    said = [scenario_name(args.scenario) if args.scenario else job.config.setting]
    scene = {f.name: getattr(job.config, f.name) for f in fields(job.config)}
    if not args.scenario:
        del scene['setting']  # said already
    for name, value in scene.items():
        if value != getattr(usual.config, name):
            words = ' '.join(value) if isinstance(value, tuple) else value
            said.append(f'{name.removeprefix("n_").replace("_", " ")} {words}')
    said += [
        text
        for text, is_said in (
            (args.disturb, args.disturb != 'none'),
            (f'gate {args.gate}', args.gate != 'none'),
            (f'drop {job.gate.drop:g}', job.gate.drop != usual.gate.drop),
            (f'window {job.gate.window_s:g} s', job.gate.window_s != usual.gate.window_s),
            (f'value {args.value}', args.value),
            (f'interventions {job.patience}', job.patience),
            (f'stalled {job.stalled}', job.stalled),
            (f'execute {job.execute}', job.execute != usual.execute),
            (f'guidance {args.guidance}', args.guidance is not None),
            (f'temperature {args.temperature}', args.temperature is not None),
            (f'best of {job.candidates}', job.candidates > 1),
            (f'seed {args.seed}', args.seed != plain.seed),
            (f'reset {args.reset_s:g} s', args.reset_s),
        )
        if is_said
    ]
    return ', '.join(said)


def _store(
    path: Path,
    args: argparse.Namespace,
    task: TaskSpec,
    job: RolloutJob,
    policy: Path,
    name: str,
    numbers: Mapping[str, Any],
    rollouts: Sequence[Rollout],
    seconds: float,
) -> None:
    from vvf.stored_results import StoredResult, this_machine, write_result
    from vvf.success_interval import LAYOUTS

    plain = {k: float(v) for k, v in numbers.items() if isinstance(v, int | float)}
    shares = {f'milestone_{k}': v for k, v in numbers['milestones'].items()}
    result = StoredResult(
        experiment='policy',
        method=name,
        condition=_condition(args, task, job),
        seed=_training_seed(policy),
        task=job.task,
        robot=job.config.arm,
        episodes=numbers['episodes'],
        successes=numbers['successes'],
        numbers={**plain, **shares, LAYOUTS: [float(r.success) for r in rollouts]},
        command=shlex.join(['vvf', *sys.argv[1:]]),
        machine=this_machine(),
        seconds=seconds,
    )
    write_result(path, result)


def _training_seed(policy: Path) -> int:
    """As its card says; 0 where there is none."""
    card = policy / 'card.md'
    found = re.search(r'^Seed (\d+);', card.read_text('utf-8'), re.M) if card.is_file() else None
    return int(found[1]) if found else 0
