# SPDX-License-Identifier: Apache-2.0
"""`vvf train`: a value model or a policy from recorded or simulated episodes."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from vvf.cli import train_lerobot
from vvf.cli.output import write_json
from vvf.cli.reading import read_options
from vvf.cli.train_options import KINDS, add_options, check_options
from vvf.errors import UserError, is_user_error
from vvf.paths import config_path

DEFAULT_CONFIGS = {'viva': 'viva_tiny'}  # of kinds that have no configuration of their own name


def add_parser(subparsers: Any) -> None:
    """Add `vvf train`."""
    kinds = '\n'.join(f'  {kind:15}{text}' for kind, text in KINDS.items())
    parser = subparsers.add_parser(
        'train',
        help='train a value model or a policy',
        description='Train; Ctrl-C keeps what is done, --resume goes on from there.\n\n' + kinds,
        epilog='example: vvf train distributional --data data/mixed --minutes 15 --out runs/value',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run `vvf train`."""
    check_options(args)
    if args.kind == 'lerobot':
        return train_lerobot.run(args)
    from vvf.data import kind_of_data, open_data
    from vvf_models.checkpoints import CONFIGS
    from vvf_models.config import from_mapping
    from vvf_models.data.chain import ChainedEpisodes
    from vvf_models.training import train
    from vvf_models.training.loop import is_unfinished

    if args.resume and (args.out / 'config.yaml').is_file() and not is_unfinished(args.out):
        print(f'{args.out} is trained to its end already')
        return 0
    if not args.resume and ((args.out / 'config.yaml').exists() or is_unfinished(args.out)):
        raise UserError(
            f'{args.out} holds a checkpoint or an unfinished run: add --resume to go on with it, '
            'or choose another folder.'
        )
    init, init_encoder = _checkpoint(args.init), _checkpoint(args.init_encoder)
    preset, where = _preset(args)
    settings = _settings(args.set)
    size = {**preset, **settings}.get('image_size', CONFIGS[args.kind]().image_size)
    options = read_options(
        args,
        cameras=tuple(args.cameras or ()),
        image_size=size if isinstance(size, int) and size > 0 else 0,
    )

    def opened(paths: list[Path]) -> ChainedEpisodes:
        parts = [open_data(path, args.task, options) for path in paths]
        for path, part in zip(paths, parts, strict=True):
            print(f'{path}: {len(part)} episodes ({kind_of_data(path)})')
        return ChainedEpisodes(parts)

    episodes = opened(args.data)
    rollouts = len(episodes)
    if args.demonstrations:
        episodes = ChainedEpisodes([episodes, opened(args.demonstrations)])
    entries = {**_of_data(args, episodes), **preset, **settings}
    config = from_mapping(CONFIGS[args.kind], entries, where, partial=True)
    left_out: list[str] = []

    def skip(message: str) -> None:
        left_out.append(message)
        print(f'left out: {message}', file=sys.stderr)

    minutes = 10.0 if args.minutes is None and args.steps is None else args.minutes
    command = shlex.join(['vvf', *sys.argv[1:]])
    metrics: dict[str, Any] = train(
        args.kind,
        episodes,
        config,
        args.out,
        seconds=None if minutes is None else 60.0 * minutes,
        steps=args.steps,
        seed=args.seed,
        resume=args.resume,
        command=command,
        threads=args.threads,
        cache=args.cache,
        goal_images=not args.no_goal_images,
        init=init,
        init_encoder=init_encoder,
        skip_bad=skip if args.skip_bad else None,
        task_data=opened(args.task_data) if args.task_data else None,
        indicator=indicator_of(args, episodes, rollouts, skip),
    )
    for name, value in metrics.items():
        print(f'{name:34} {value:.4g}')
    if left_out:
        print(f'{len(left_out)} episodes were left out')
    if metrics['interrupted']:
        print(f'stopped; go on with: {command} --resume')
    else:
        print(f'written to {args.out}')
    write_json(args.json, {**metrics, 'left_out': left_out})
    return 0


def check_config(args: argparse.Namespace) -> None:
    """See that a run's configuration can be made, before its data are.

    Raises:
        UserError: (of `vvf` or of `vvf_models`) there is none of that name, or an entry is unknown
            or out of its range.
    """
    from vvf_models.checkpoints import CONFIGS
    from vvf_models.config import from_mapping

    preset, where = _preset(args)
    entries = {'cameras': ['any'], 'state_dim': 0, **preset, **_settings(args.set)}
    from_mapping(CONFIGS[args.kind], entries, where, partial=True)


def indicator_of(
    args: argparse.Namespace, episodes: Any, rollouts: int, skip: Callable[[str], None]
) -> Callable[[Any], Any] | None:
    """What says which frames of the store improve; None where nobody asked."""
    if args.value is None:
        return None
    import numpy as np

    from vvf_models.runtime import load_value
    from vvf_models.training.common import as_store
    from vvf_models.training.indicators import REST_OF_EPISODE, indicate, store_advantages

    checkpoint = _checkpoint(args.value)
    assert checkpoint is not None
    runtime = load_value(checkpoint, args.threads, 'torch')

    def of_store(store: Any) -> Any:
        # The value model may see at another size, or through other cameras, than the policy.
        seen = as_store(
            episodes,
            runtime.model.config,
            runtime.cameras,
            cache=None,
            progress=True,
            skip_bad=skip if args.skip_bad else None,
        )
        if (unseen := np.setxor1d(seen.numbers, store.numbers)).size:
            raise UserError(
                f'{args.value} and the policy do not see the same episodes (first of all number '
                f'{unseen[0]} of the data): leave out those that lack a camera of either.'
            )
        steps = args.n_steps or REST_OF_EPISODE
        advantages = store_advantages(runtime, seen, steps, open_failures=not args.over)
        found = indicate(advantages, store, args.positive_ratio, store.numbers >= rollouts)
        for name, threshold in found.thresholds.items():
            print(f'"{name}": an advantage of {threshold:.4g} and more counts as improvement')
        print(
            f'{found.share:.1%} of the frames of --data do ({found.share_strict:.1%} with ">"), '
            f'{found.forced} frames of humans and demonstrations besides'
        )
        return found.improving

    return of_store


def _preset(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The configuration file's entries, and what to call them in an error."""
    name = args.config or DEFAULT_CONFIGS.get(args.kind, args.kind)
    path = Path(name) if name.endswith(('.yaml', '.yml')) else config_path('models', f'{name}.yaml')
    if not path.is_file():
        if args.config is None:
            return {}, '--set'
        names = ', '.join(sorted(p.stem for p in path.parent.glob('*.yaml')))
        raise UserError(f'there is no configuration {name!r}: give a YAML file or one of {names}.')
    try:
        entries = yaml.safe_load(path.read_text(encoding='utf-8')) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f'{path} is not valid YAML; mend it.') from error
    if not isinstance(entries, dict):
        raise UserError(f'{path} must hold "key: value" lines.')
    kind = entries.pop('kind', args.kind)
    if kind != args.kind:
        raise UserError(f'{path} is a configuration of {kind!r}: use `vvf train {kind}`.')
    return entries, f'{path} and --set'


def _checkpoint(name: str | None) -> Path | None:
    from vvf.paths import checkpoint_path

    if name is None:
        return None
    path = checkpoint_path(name)
    if path is None:
        raise UserError(f'there is no checkpoint folder {name!r} to start from.')
    return path


def _of_data(args: argparse.Namespace, episodes: Any) -> dict[str, Any]:
    """What the first episode says of observation and action; with `--skip-bad`, the first good."""
    from vvf.data import action_entries

    first = _first(episodes, skip_bad=args.skip_bad)
    state_dim = 0 if args.no_state or first.state is None else int(first.state.shape[1])
    entries: dict[str, Any] = {
        'cameras': list(args.cameras or first.images),
        'state_dim': state_dim,
    }
    if args.kind in ('bc', 'bc_task', 'rwr', 'cql', 'recap'):
        entries |= action_entries(first, args.kind)
    return entries


def _first(episodes: Any, *, skip_bad: bool) -> Any:
    for number in range(len(episodes)):
        try:
            return episodes[number]
        except Exception as error:
            if not is_user_error(error):
                raise
            if not skip_bad:
                said = str(error).rstrip('.')
                raise UserError(f'{said} (--skip-bad leaves such episodes out).') from error
    raise UserError('none of the episodes can be used; name other data.')


def _settings(pairs: list[str]) -> dict[str, Any]:
    settings = {}
    for pair in pairs:
        key, separator, value = pair.partition('=')
        if not separator or not key:
            raise UserError(f'--set {pair}: write it as KEY=VALUE.')
        try:
            settings[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f'--set {pair}: the value is not valid YAML.') from error
    return settings
