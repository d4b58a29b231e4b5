# SPDX-License-Identifier: Apache-2.0
"""Trains a policy of LeRobot's by LeRobot's own trainer, on episodes that vvf exports.

LeRobot wants a torch of its own, so it may live in another environment: the trainer is a process of
that environment's Python. What it saves becomes a checkpoint of vvf by two files more
(`vvf_models.policies.lerobot`).
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from vvf.errors import UserError
from vvf.export.tables import write_json, write_tasks
from vvf_models.policies.lerobot import INSTALL, prompt

INDICATOR_DROPOUT = 0.3  # RECAP, arXiv 2511.14759, sec. IV-B
_WORK = '.lerobot'  # in the checkpoint's folder: the data, and LeRobot's own checkpoints
_LAST = 'checkpoints/last/pretrained_model'
# What the command says itself: another folder, or other data, would be looked for in vain.
_OURS = ('dataset.repo_id', 'dataset.root', 'policy.type', 'output_dir', 'seed', 'steps',
         'config_path', 'resume')  # fmt: skip


@dataclass(frozen=True)
class LerobotTraining:
    """How to train.

    Attributes:
        policy: LeRobot's name of a policy.
        out: Folder of the checkpoint.
        python: Of the environment that has LeRobot.
        steps: Of the optimiser.
        seed: Of weights and batches.
        settings: Options of LeRobot's trainer without their dashes, such as `policy.chunk_size`.
        told: Whether instructions carry an indicator.
    """

    policy: str
    out: Path
    python: str
    steps: int
    seed: int
    settings: Mapping[str, str]
    told: bool = False

    @property
    def data(self) -> Path:
        """Where the exported episodes are."""
        return self.out / _WORK / 'data'

    @property
    def run(self) -> Path:
        """LeRobot's own output folder."""
        return self.out / _WORK / 'run'

    @property
    def began(self) -> bool:
        """Whether LeRobot has saved something to go on from."""
        return (self.run / _LAST / 'train_config.json').is_file()


def check_lerobot(python: str) -> None:
    """See that an environment has LeRobot.

    Raises:
        UserError: It has not, or there is no such Python.
    """
    try:
        asked = subprocess.run([python, '-c', 'import lerobot'], capture_output=True, check=False)
    except OSError as error:
        raise UserError(f'--lerobot-python {python} cannot be run: {error.strerror}.') from error
    if asked.returncode:
        raise UserError(f'{INSTALL}; then name its Python with --lerobot-python.')


def remember(how: LerobotTraining, asked: Mapping[str, Any]) -> None:
    """Keep what a run was asked for beside its data, or see that it is asked for the same again.

    The data, and LeRobot's own checkpoints, stay what they were made of, whatever is asked for when
    a run goes on.

    Args:
        how: To train; of it counts all but the number of steps, which may change.
        asked: What the data are made of, by option, as JSON.

    Raises:
        UserError: It was asked for something else.
    """
    ours = {'policy': how.policy, 'seed': how.seed, 'set': dict(how.settings)}
    wanted = json.loads(json.dumps({**ours, **asked}))
    path = how.data.parent / 'asked.json'
    if not how.data.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, wanted)
        return
    try:
        before = dict(json.loads(path.read_text('utf-8')))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f'{how.out} holds a run that does not say what it was asked for: choose another folder.'
        ) from error
    for name in {**before, **wanted}:
        if before.get(name) != wanted.get(name):
            option = name.replace('_', '-')
            raise UserError(
                f'{how.out} was begun with another --{option} ({before.get(name)}, now '
                f'{wanted.get(name)}): go on as it began, or choose another folder.'
            )


def trainer_command(how: LerobotTraining) -> list[str]:
    """The command line of LeRobot's trainer, from the beginning or where it was stopped."""
    command = [how.python, '-m', 'lerobot.scripts.lerobot_train']
    if how.began:
        config = how.run / _LAST / 'train_config.json'
        return [*command, f'--config_path={config}', '--resume=true', f'--steps={how.steps}']
    kind = {} if 'policy.path' in how.settings else {'policy.type': how.policy}
    options = {
        'dataset.repo_id': 'local/vvf',
        'dataset.root': str(how.data),
        'dataset.video_backend': 'pyav',
        **kind,
        'policy.push_to_hub': 'false',
        'wandb.enable': 'false',
        'output_dir': str(how.run),
        'seed': str(how.seed),
        'steps': str(how.steps),
        'save_freq': str(max(1, how.steps // 5)),
        'eval_freq': '0',
        'num_workers': '0',
        **how.settings,
    }
    return command + [f'--{name}={value}' for name, value in options.items()]


def train_lerobot(how: LerobotTraining, environment: Mapping[str, str]) -> bool:
    """Run LeRobot's trainer and make its last save a checkpoint; whether it went to its end.

    Raises:
        UserError: The trainer failed.
    """
    command = trainer_command(how)
    if not how.began:  # stopped before its first save: LeRobot wants no folder there
        shutil.rmtree(how.run, ignore_errors=True)
    try:
        status = subprocess.run(command, env=dict(environment), check=False).returncode
    except KeyboardInterrupt:  # which the trainer got, too
        return False
    if status:
        raise UserError(f'LeRobot could not train (see above): {shlex.join(command)}')
    return True


def take_checkpoint(how: LerobotTraining, command: str, displacements: bool | None) -> None:
    """Copy what LeRobot saved last into the checkpoint's folder, and say whose it is.

    Args:
        how: It was trained.
        command: That made it.
        displacements: What its actions are, as of an episode; None where nobody says.
    """
    saved = (how.run / _LAST).resolve()
    for file in sorted(saved.iterdir()):
        if file.name != 'train_config.json':  # it names folders of this machine
            shutil.copy(file, how.out / file.name)
    fps = json.loads((how.data / 'meta' / 'info.json').read_text('utf-8'))['fps']
    card = (
        f'# LeRobot policy ({how.policy})\n\nSeed {how.seed}, {how.steps} steps.\n\nCommand:\n\n'
        f'    {command}\n'
    )
    (how.out / 'card.md').write_text(card, 'utf-8')
    # The configuration last: without it the folder is no checkpoint.
    ours = {'kind': 'lerobot', 'told': how.told, 'dt': 1.0 / fps}
    if displacements is not None:
        ours['displacements'] = displacements
    (how.out / 'config.yaml').write_text(yaml.safe_dump(ours, sort_keys=False), 'utf-8')


def write_indicator(
    root: Path, improving: npt.NDArray[np.bool_], seed: int, dropout: float = INDICATOR_DROPOUT
) -> dict[str, int]:
    """Append the indicator to each frame's instruction, in an exported data set.

    LeRobot's trainer knows nothing of it, so it is left out once for all, in a share of the frames,
    and not anew in each batch. Instructions are read from the episodes, which stay as they are, so
    that a run that was stopped in here can begin anew.

    Args:
        root: The data set; its task texts are changed in place.
        improving: (N,) which frames' actions improve, in the data set's order.
        seed: Of what is left out.
        dropout: The share.

    Returns:
        The number of frames of each text.

    Raises:
        UserError: There are not as many frames.
    """
    files = sorted(root.glob('data/*/*.parquet'))
    tables = [pq.read_table(file) for file in files]
    total = sum(len(table) for table in tables)
    if total != len(improving):
        raise UserError(
            f'{root} has {total} frames, {len(improving)} were judged: leave out what is bad in '
            'the data first.'
        )
    told = np.where(improving, 'positive', 'negative')
    told[np.random.default_rng(seed).random(total) < dropout] = 'none'
    episodes = pq.read_table(root / 'meta' / 'episodes', columns=['tasks', 'length']).to_pydict()
    asked = np.repeat([tasks[0] for tasks in episodes['tasks']], episodes['length'])
    numbers: dict[str, int] = {}
    counts: dict[str, int] = {}
    start = 0
    for file, table in zip(files, tables, strict=True):
        place = table.column_names.index('task_index')
        changed = []
        end = start + len(table)
        for task, indicator in zip(asked[start:end], told[start:end], strict=True):
            text = prompt(str(task), str(indicator))
            changed.append(numbers.setdefault(text, len(numbers)))
            counts[text] = counts.get(text, 0) + 1
        start = end
        column = pa.array(changed, pa.int64())
        draft = file.with_name(f'.{file.name}.partial')
        pq.write_table(table.set_column(place, 'task_index', column), draft, compression='snappy')
        draft.replace(file)
    write_tasks(root / 'meta' / 'tasks.parquet', numbers)
    info = json.loads((root / 'meta' / 'info.json').read_text('utf-8'))
    write_json(root / 'meta' / 'info.json', {**info, 'total_tasks': len(numbers)})
    return counts


def settings_of(pairs: Sequence[str]) -> dict[str, str]:
    """`KEY=VALUE` options for LeRobot's trainer.

    Raises:
        UserError: One is not of that form, or the command's own.
    """
    settings = {}
    for pair in pairs:
        key, separator, value = pair.partition('=')
        if not separator or not key:
            raise UserError(f'--set {pair}: write it as KEY=VALUE, such as policy.chunk_size=6.')
        name = key.removeprefix('--')
        if name in _OURS:
            raise UserError(
                f'--set {pair}: vvf says that itself; --out, --data, --policy, --seed, --steps and '
                '--resume are its options.'
            )
        settings[name] = value
    return settings
