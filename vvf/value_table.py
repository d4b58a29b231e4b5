# SPDX-License-Identifier: Apache-2.0
"""The numbers of an evaluation in words: rows of a table, and what a reader has to know."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from vvf.value_evaluation import Evaluation

# Titles of sections, and per row a key and its words; a key with a star stands for all like it.
_ROWS = (
    (
        'Order along {successes}',
        (
            ('spearman_mean', 'Spearman with time'),
            ('spearman_min', 'the worst episode'),
            ('spearman_until_success_mean', 'until the task is done'),
            ('pearson_mean', 'Pearson with time'),
            ('reversed_spearman_mean', 'Spearman of reversed clips'),
            ('spearman_failure_mean', 'Spearman with time, failures'),
        ),
    ),
    (
        'Success told from failure',
        (
            ('auc_end', 'AUC at the end'),
            ('auc_75', 'AUC at 75 %'),
            ('auc_50', 'AUC at 50 %'),
            ('auc_fixed_step', 'AUC at step {fixed_step}'),
            ('auc_end_*', 'AUC at the end, {name}'),
            ('kendall_tau', 'Kendall tau-a (at most {kendall_tau_most:.3f})'),
            ('value_end_success_mean', 'value at the end, successes'),
            ('value_end_failure_mean', 'value at the end, failures'),
        ),
    ),
    (
        'Events: {milestones} milestones, {errors} errors',
        (
            ('milestone_detection', 'milestones with a rise (MDR)'),
            ('milestone_detection_*', '  {name} ({count})'),
            ('error_detection', 'errors with a fall (ErrDR)'),
            ('error_detection_*', '  {name} ({count})'),
            ('milestone_score_mean', 'relative change at milestones (MS)'),
            ('error_score_mean', 'relative change at errors (ES)'),
        ),
    ),
    (
        'Errors noticed within a second',
        (
            ('errors_noticed', 'errors noticed'),
            ('errors_noticed_*', '  {name}'),
            ('alarm_delay_s', 'median delay in s'),
            ('false_alarm_share', 'flawless successes ({flawless_successes}) with an alarm'),
            ('false_alarms_per_minute', 'false alarms per minute'),
            ('error_auc', 'AUC of the fall at errors'),
        ),
    ),
    (
        'Under other instructions ({instructions} in all)',
        (
            ('instruction_margin_mean', 'progress, right less wrong'),
            ('instruction_right_share', 'right above every wrong one'),
            ('instruction_auc', 'AUC of right against wrong'),
        ),
    ),
    (
        'SARSA value on frozen features',
        (
            ('sarsa_error', 'error of the return, held out'),
            ('sarsa_unexplained', 'share of variance unexplained'),
        ),
    ),
    (
        'Training',
        (
            ('seen_spearman_mean', 'Spearman, episodes learned from'),
            ('held_out_spearman_mean', 'Spearman, episodes held out'),
            ('seen_auc_end', 'AUC at the end, episodes learned from'),
            ('held_out_auc_end', 'AUC at the end, episodes held out'),
            ('seen_accuracy', 'accuracy, episodes learned from'),
            ('held_out_accuracy', 'accuracy, episodes held out'),
            ('seen_loss', 'loss, episodes learned from'),
            ('held_out_loss', 'loss, episodes held out'),
            ('training_minutes', 'minutes'),
            ('training_steps', 'steps'),
            ('parameters', 'parameters'),
        ),
    ),
    (
        'Milliseconds per frame, CPU threads: {threads}',
        (
            ('ms_per_frame_batch_1', 'one frame at a time'),
            ('ms_per_frame_batch_64', '64 frames at a time'),
        ),
    ),
)
_LEAST_EVENTS = 3  # of a name, for a row of their own
_SUFFIXES = ('_low', '_high')


def rows(evaluation: Evaluation) -> Iterator[tuple[str, str, list[str]]]:
    """Section, words and cells of every metric that some model has; the baseline is the last."""
    columns = [model.numbers for model in evaluation.models]
    if evaluation.baseline:
        columns.append(evaluation.baseline.numbers)
    merged: dict[str, Any] = {}
    for column in reversed(columns):
        merged |= {name: value for name, value in column.items() if _known(value)}
    shown: set[str] = set()
    for title, metrics in _ROWS:
        for pattern, words in metrics:
            for key, name in _matching(pattern, merged, shown):
                shown.add(key)
                count = _events_of(pattern, key, merged)
                if count is not None and count < _LEAST_EVENTS:
                    continue
                if (
                    pattern.startswith('error')
                    and f'milestones_{key[len(pattern) - 1 :]}' in merged
                ):
                    name += ', in error'  # such as the wrong object grasped
                here = {'name': name, 'count': count}
                yield (
                    title.format_map(_Words(merged, evaluation)),
                    words.format_map(_Words({**merged, **here}, evaluation)),
                    [_cell(column, key) for column in columns],
                )


def notes(evaluation: Evaluation) -> list[str]:
    """What a reader of the numbers has to know."""
    scene, judging = evaluation.scene, evaluation.judging
    result = ['In brackets: 95 % intervals, by resampling episodes.']
    if not scene.labelled:
        result.append(
            'Nobody labelled the outcome of these episodes. The numbers and curves show what the '
            'models make of them, and no more: neither that a high value is right, nor that a low '
            'one is.'
        )
    own = [m.name for m in evaluation.models if m.numbers['goal'] == 'own last frame']
    if own:
        result.append(
            f'{", ".join(own)}: measured against the last frame of each episode itself, so a '
            'rise towards the end is partly there by construction.'
        )
    still = [m for m in evaluation.models if m.runtime and m.runtime.model.frames_seen == 1]
    if len(still) == len(evaluation.models):
        result.append(
            'Reversed clips are left out: each frame is judged alone, so a clip played backwards '
            'gives the same values backwards.'
        )
    if judging.smooth > 1:
        result.append(f'Values are means over the last {judging.smooth} frames.')
    if judging.events and scene.labelled:
        alarm = judging.alarm
        result.append(
            f'An alarm is on while the value is below the best of the last {alarm.memory_s:g} s by '
            'more than a threshold, until the task is done. Odd and even successes set it for each '
            f'other, so that about {100 * alarm.false_alarm_share:.0f} % of such episodes have an '
            'alarm.'
        )
    for model in evaluation.models:
        reads = model.runtime is not None and model.runtime.reads_text
        if reads and model.asked is None:
            result.append(
                f'{model.name} reads the instruction, but all episodes have the same one: add '
                'episodes with others to --data.'
            )
    return result


class _Words(dict[str, Any]):
    """What the words of a row may name."""

    def __init__(self, numbers: dict[str, Any], evaluation: Evaluation) -> None:
        episodes = 'successes' if evaluation.scene.labelled else 'episodes'
        super().__init__(numbers, successes=episodes)

    def __missing__(self, key: str) -> float:
        return 0


def title_of(evaluation: Evaluation) -> str:
    """How many episodes of which outcome."""
    scene = evaluation.scene
    count = len(scene.success)
    good = sum(outcome is True for outcome in scene.success)
    bad = sum(outcome is False for outcome in scene.success)
    title = f'{count} episode' if count == 1 else f'{count} episodes'
    if scene.labelled:
        title += f': {good} successes, {bad} failures'
    if good + bad < count and scene.labelled:
        title += f', {count - good - bad} unlabelled'
    return title


def _matching(pattern: str, numbers: dict[str, Any], shown: set[str]) -> list[tuple[str, str]]:
    if not pattern.endswith('*'):
        return [(pattern, '')] if pattern in numbers else []
    stem = pattern[:-1]
    return [
        (key, key.removeprefix(stem).replace('_mean', '').replace('_', ' '))
        for key in numbers
        if key.startswith(stem) and not key.endswith(_SUFFIXES) and key not in shown
    ]


def _events_of(pattern: str, key: str, numbers: dict[str, Any]) -> int | None:
    """How many events a row of a name rests on; None for other rows."""
    kind = next((k for k in ('milestone', 'error') if pattern.startswith(k)), '')
    if not kind or not pattern.endswith('*'):
        return None
    return int(numbers.get(f'{kind}s_{key.removeprefix(pattern[:-1])}', 0))


def _known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _cell(numbers: dict[str, Any], key: str) -> str:
    value = numbers.get(key)
    if not _known(value):
        return ''
    if isinstance(value, int | str):
        return f'{value:,}' if isinstance(value, int) else value
    base = key.removesuffix('_mean')
    low, high = numbers.get(f'{base}_low'), numbers.get(f'{base}_high')
    text = _short(float(value or 0))
    if low is not None and high is not None and _known(low) and _known(high):
        text += f' ({_short(low)} to {_short(high)})'
    return text


def _short(value: float) -> str:
    return (
        f'{value:.0f}'
        if abs(value) >= 1000
        else f'{value:.2f}'
        if abs(value) >= 10
        else (f'{value:.3f}')
    )
