# SPDX-License-Identifier: Apache-2.0
"""Online RL that is stopped, killed or damaged: what is kept, and what is said."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.vvf.test_online_learning import RUN, job
from vvf.errors import UserError
from vvf.online import runs
from vvf.online.runs import train_run
from vvf.online.trainer import OnlineTrainer
from vvf_models.training.loop import is_unfinished

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120


def test_a_run_that_was_killed_before_its_results_counts_its_last_trial_once(tmp_path, monkeypatch):
    uneven = replace(RUN, steps=70, evaluate_every=30, start_steps=20)
    with monkeypatch.context() as patch:
        patch.setattr(runs, '_results', lambda *_: pytest.fail('killed'))
        with pytest.raises(pytest.fail.Exception):
            train_run(job(tmp_path / 'run', config=uneven), progress=False)
    results = train_run(job(tmp_path / 'run', config=uneven), progress=False)
    assert [r.numbers['curve_steps'] for r in results] == [[30, 60, 70]] * 2


def test_ctrl_c_in_the_last_trial_ends_the_command_with_all_written(tmp_path, monkeypatch):
    evaluate = OnlineTrainer.evaluate

    def interrupted(self):
        if len(self.curve_steps) == 2:
            signal.raise_signal(signal.SIGINT)
        return evaluate(self)

    monkeypatch.setattr(OnlineTrainer, 'evaluate', interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_run(job(tmp_path / 'run'), progress=False)
    results = train_run(job(tmp_path / 'run'), progress=False)
    assert [r.numbers['curve_steps'] for r in results] == [[30, 60, 90]] * 2


def test_a_damaged_record_of_a_run_is_one_sentence(tmp_path):
    train_run(job(tmp_path / 'run'), progress=False)
    (tmp_path / 'run' / 'run.json').write_text('')
    with pytest.raises(UserError, match='holds another run'):
        train_run(job(tmp_path / 'run'), progress=False)


_IN_PROCESSES = """
import sys
from dataclasses import replace
from pathlib import Path
from tests.vvf.test_online_learning import RUN, job
from vvf.online.runs import train_run

config = replace(RUN, environments=2, processes=True, steps=10**6, evaluate_every=40)
print(train_run(job(Path(sys.argv[1]), config=config), progress=False), flush=True)
"""


def test_ctrl_c_in_a_terminal_is_heeded_by_the_learner_and_not_by_its_environments(tmp_path):
    folder = tmp_path / 'run'
    child = subprocess.Popen(
        [sys.executable, '-c', _IN_PROCESSES, str(folder)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        end = time.monotonic() + PATIENCE_S
        while not (folder / 'log.jsonl').is_file() and time.monotonic() < end:
            assert child.poll() is None, child.communicate()[0]
            time.sleep(0.1)
        os.killpg(child.pid, signal.SIGINT)
        said = child.communicate(timeout=PATIENCE_S)[0]
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    assert (child.returncode, said.strip()) == (0, 'None'), said
    assert is_unfinished(folder)
