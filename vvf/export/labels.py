# SPDX-License-Identifier: Apache-2.0
"""The labels of a relabelling run, to be joined to the frames that they are of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from vvf.errors import UserError

_PREFIX = 'complementary_info.'
_HUMAN = f'{_PREFIX}is_intervention'
_ESTIMATES = ('progress', 'uncertainty')


class LabelTable:
    """The `values.parquet` that `vvf relabel` wrote.

    Args:
        path: The file.

    Attributes:
        columns: The labels in it, complementary_info.* but for the interventions.

    Raises:
        UserError: It cannot be read, or is no such table.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise UserError(f'{path} does not exist: name the values.parquet of vvf relabel')
        try:
            names = pq.read_schema(path).names
            self.columns = [n for n in names if n.startswith(_PREFIX) and n != _HUMAN]
            keys = ['episode_id', 'stamp_ns']
            if not self.columns or not set(keys) <= set(names):
                raise UserError(f'{path} holds no values: name the values.parquet of vvf relabel')
            more = [n for n in names if n.startswith(_ESTIMATES)]
            table = pq.read_table(
                path, columns=[*keys, *self.columns, *more], read_dictionary=['episode_id']
            )
        except (OSError, pa.ArrowException) as error:
            raise UserError(f'{path} cannot be read ({error}): relabel anew') from error
        ids = table['episode_id'].unify_dictionaries().combine_chunks()
        if isinstance(ids, pa.ChunkedArray):
            ids = pa.concat_arrays(ids.chunks)
        codes = ids.indices.to_numpy(zero_copy_only=False)
        edges = np.flatnonzero(np.diff(codes)) + 1
        self._places: dict[str, slice] = {}
        names = ids.dictionary.to_pylist()
        for first, last in zip([0, *edges], [*edges, len(codes)], strict=True):
            if first < last:
                name = names[codes[first]]
                if name in self._places:
                    raise UserError(
                        f"{path} holds two episodes called '{name}': relabel them into different "
                        'folders, and export each'
                    )
                self._places[name] = slice(int(first), int(last))
        self._table = table

    def rows(self, episode_id: str) -> pa.Table | None:
        """An episode's rows: stamp_ns, the columns, and each model's progress and uncertainty."""
        place = self._places.get(episode_id)
        return None if place is None else self._table.slice(place.start, place.stop - place.start)

    def of(
        self, episode_id: str, stamps_ns: npt.NDArray[np.int64]
    ) -> dict[str, npt.NDArray[np.generic]]:
        """The labels of an episode's frames, by column.

        Args:
            episode_id: The episode.
            stamps_ns: (T,) of the frames, as the table has them: a bag's clock, or seconds of the
                data's own.

        Raises:
            UserError: The table lacks the episode, or some of its frames.
        """
        rows = self.rows(episode_id)
        if rows is None:
            raise UserError(
                f"{self.path} has no episode '{episode_id}': relabel it, or leave --values away"
            )
        known = rows['stamp_ns'].to_numpy()
        order = np.argsort(known, kind='stable')
        at = np.searchsorted(known[order], stamps_ns)
        at = np.minimum(at, len(known) - 1)
        missing = int((known[order][at] != stamps_ns).sum())
        if missing:
            raise UserError(
                f'{self.path} has no values for {missing} of {len(stamps_ns)} frames of '
                f"'{episode_id}': relabel these data, with the same task"
            )
        return {name: rows[name].to_numpy(zero_copy_only=False)[order][at] for name in self.columns}
