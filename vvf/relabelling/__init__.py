# SPDX-License-Identifier: Apache-2.0
"""Labels for recorded episodes: value, advantage and improvement indicator of every frame.

`run` is the whole of it: it plans what has to be scored (`plan`), has it scored by one process or
many (`engines`), each of which decodes ahead (`reading`) of the models (`judging`), and then writes
the table (`table`) and for bags their siblings (`sibling`). What is done is kept (`folder`,
`scores`), so that a run that was stopped goes on.
"""

from vvf.relabelling.options import OWN, GoalSpec, ModelSpec, RelabelOptions
from vvf.relabelling.run import RelabelSummary, relabel
from vvf.relabelling.table import TABLE

__all__ = [
    'OWN',
    'TABLE',
    'GoalSpec',
    'ModelSpec',
    'RelabelOptions',
    'RelabelSummary',
    'relabel',
]
