# SPDX-License-Identifier: Apache-2.0
"""`vvf train` refuses options that the kind of model has no use for, before it reads anything."""

import argparse

import pytest

from vvf.cli.main import main
from vvf.cli.train_options import KINDS, add_options, check_options


@pytest.mark.parametrize(
    ('kind', 'more', 'said'),
    [
        ('bc', ['--task-data', 'x'], '--task-data is for `vvf train` cql, bc_task or rwr'),
        ('cql', ['--value', 'x'], '--value is for `vvf train` recap or lerobot'),
        ('icvf', ['--demonstrations', 'x'], '--demonstrations is for'),
        ('distributional', ['--no-goal-images'], '--no-goal-images is for `vvf train` icvf or vip'),
        ('bc', ['--policy', 'act'], '--policy is for `vvf train` lerobot'),
        ('lerobot', ['--init', 'x'], '--init is for'),
        ('lerobot', ['--skip-bad'], '--skip-bad is for'),
        ('lerobot', ['--fps', '0'], '--fps is for'),
        ('lerobot', ['--crop'], '--crop is for'),
        ('lerobot', ['--actions', 'clean'], '--actions is for'),
        ('recap', ['--positive-ratio', '0.4'], '--positive-ratio says how to use --value'),
        ('recap', ['--n-steps', '0'], '--n-steps says how to use --value'),
        ('bc', ['--over'], '--over says how to use --value'),
    ],
)
def test_what_would_do_nothing_is_refused(kind, more, said, tmp_path, capsys):
    command = ['train', kind, '--data', str(tmp_path), '--out', str(tmp_path / 'out'), *more]
    assert main(command) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('kind', KINDS)
def test_every_kind_is_taken_without_further_options(kind):
    parser = argparse.ArgumentParser()
    add_options(parser)
    args = parser.parse_args([kind, '--data', 'data', '--out', 'out'])
    check_options(args)
    assert (args.policy, args.positive_ratio, args.n_steps, args.over) == ('act', 0.3, 10, False)


def test_what_was_given_stays():
    parser = argparse.ArgumentParser()
    add_options(parser)
    command = ['recap', '--data', 'data', '--out', 'out', '--value', 'value', '--n-steps', '0']
    args = parser.parse_args([*command, '--positive-ratio', '0.4', '--over'])
    check_options(args)
    assert (args.positive_ratio, args.n_steps, args.over) == (0.4, 0, True)
