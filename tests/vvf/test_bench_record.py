# SPDX-License-Identifier: Apache-2.0
"""`vvf bench record` with real processes: what is sent is recorded."""

from __future__ import annotations

import json
from pathlib import Path

from vvf.cli.main import main


def test_it_counts_what_was_sent_and_what_was_recorded(tmp_path: Path) -> None:
    file = tmp_path / 'record.json'
    assert main(['bench', 'record', '--seconds', '0.5', '--json', str(file)]) == 0
    numbers = json.loads(file.read_text())
    assert {name: topic['sent'] for name, topic in numbers['topics'].items()} == {
        'shoulder/image_raw/compressed': 15,
        'wrist/image_raw/compressed': 15,
        'joint_states': 250,
    }
    assert numbers['sent'] == 280
    assert numbers['lost'] == numbers['sent'] - numbers['recorded'] == 0
    assert numbers['dropped'] == 0
    assert numbers['cpu_share'] > 0


def test_impossible_settings_are_one_sentence(capsys) -> None:
    assert main(['bench', 'record', '--kills', '-1']) == 2
    assert '--kills between 0 and 1000' in capsys.readouterr().err
