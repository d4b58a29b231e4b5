# SPDX-License-Identifier: Apache-2.0
"""Jobs in real processes: what becomes of them when one of them, or their parent, is ended."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from vvf.errors import UserError
from vvf.pool import run_jobs
from vvf_models.training.loop import Budget, is_unfinished, run

TRAINING = 'from tests.vvf.test_pool import *; train_both(Path(sys.argv[1]))'


def squared(number):
    if number == 13:
        raise UserError('13 is no number.')
    if number == 99:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 100:
        raise KeyboardInterrupt
    return number**2


class Slow:
    """A training whose steps take long, and which is never evaluated."""

    batch_size, waited, exhausted, main = 1, 0.0, False, True

    def __init__(self, began):
        self.began, self.steps = began, 0

    def step(self, step, rate):
        self.steps += 1
        self.began.touch()
        time.sleep(0.02)
        return {}

    def evaluate(self):
        return {}

    def tensors(self):
        return {'steps': torch.tensor(self.steps)}

    def load_tensors(self, tensors):
        self.steps = int(tensors['steps'])


def train_slowly(out):
    out.mkdir()
    trainer = Slow(out / 'began')
    (out / 'pid').write_text(str(os.getpid()))
    run(
        trainer, out, Budget(steps=10**6), identity={}, evaluate_every=10**6, warmup_steps=1,
        progress=False,
    )  # fmt: skip
    return trainer.steps


def train_both(folder):
    list(run_jobs(train_slowly, [folder / 'a', folder / 'b'], 2))


def until(condition):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def training(tmp_path):
    """A process whose two workers train, and their folders."""
    process = subprocess.Popen(
        [sys.executable, '-c', f'import sys; {TRAINING}', tmp_path],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
        # A shell's child in the background would ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    folders = [tmp_path / 'a', tmp_path / 'b']
    until(lambda: all((folder / 'began').exists() for folder in folders))
    yield process, folders
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def running(folder):
    try:
        state = Path(f'/proc/{(folder / "pid").read_text()}/stat').read_text().split()[2]
    except FileNotFoundError:
        return False
    return state != 'Z'


def test_all_jobs_are_done():
    assert sorted(run_jobs(squared, range(7), 2)) == [n**2 for n in range(7)]


@pytest.mark.parametrize(
    ('number', 'error', 'said'),
    [
        (13, UserError, '13 is no number'),
        (99, UserError, 'a worker process was killed'),
        (100, KeyboardInterrupt, None),
    ],
)
def test_a_job_that_fails_ends_them_all(number, error, said):
    with pytest.raises(error, match=said):
        list(run_jobs(squared, [1, number, 2, 3], 2))


@pytest.mark.parametrize('group', [True, False], ids=['the terminal says so', 'a program says so'])
def test_ctrl_c_keeps_what_trainings_have_done(training, group):
    process, folders = training
    assert not any(is_unfinished(folder) for folder in folders)
    (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
    assert process.wait(60) != 0
    for folder in folders:
        assert is_unfinished(folder)
        assert not running(folder)


def test_trainings_whose_parent_is_killed_save_what_they_have_and_end(training):
    process, folders = training
    process.kill()
    until(lambda: not any(running(folder) for folder in folders))
    assert all(is_unfinished(folder) for folder in folders)
