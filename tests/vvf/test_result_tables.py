# SPDX-License-Identifier: Apache-2.0
"""`vvf report tables`: invented results land in the right cells, with what they rest on.

All results here are invented; none says how good anything is.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml

from tests.vvf.test_report import Page
from vvf.cli.main import main
from vvf.errors import UserError
from vvf.offline.methods import METHODS
from vvf.recap.config import METHODS as RECAP_METHODS
from vvf.recap.run import IMITATION
from vvf.rollouts import wilson
from vvf.stored_results import StoredResult, write_result
from vvf.success_interval import LAYOUTS
from vvf.value_gate import REACTIONS
from vvf.viz.result_tables.cells import Cell, Ours, fill_table, improvement
from vvf.viz.result_tables.content import (
    Part,
    fill,
    rows_of_improvement,
    said_of_ours,
    said_of_theirs,
)
from vvf.viz.result_tables.papers import (
    Paper,
    Table,
    Theirs,
    columns,
    parse_theirs,
    read_papers,
)
from vvf_models.rl.shaping import REWARDS

INVENTED = StoredResult(
    experiment='invented',
    method='ours',
    condition='easy',
    seed=0,
    task='pick_place',
    robot='wx250s',
    episodes=20,
    successes=15,
    numbers={'per_hour': 30.0, 'curve_steps': [0.0, 100.0, 200.0], 'curve_success': [0, 0.4, 0.9]},
    command='vvf invented --seed 0',
    machine='2 cores, no GPU',
    seconds=90.0,
)
PAPER: dict[str, Any] = {
    'title': 'An invented paper',
    'experiment': 'invented',
    'cite': 'Nobody: Nothing & <more>',
    'tables': [
        {
            'name': 'table_1',
            'title': 'Success',
            'picture': True,
            'command': 'vvf invented {method} --{condition} {task}',
            'columns': [
                {'label': 'Ours', 'where': {'method': 'ours'}},
                {'label': 'Base', 'where': {'method': 'base'}},
                {'label': 'Theirs alone'},
            ],
            'rows': [
                {'label': 'real', 'section': 'Easy', 'paper': ['7/12', '0/12', 58]},
                {'label': 'simulated', 'section': 'Easy', 'where': {'condition': 'easy'}},
                {'label': 'simulated', 'section': 'Hard', 'where': {'condition': 'hard'}},
            ],
        },
        {
            'name': 'table_2',
            'title': 'Throughput',
            'measure': 'per_hour',
            'unit': 'per hour',
            'columns': [{'label': 'Ours', 'where': {'method': 'ours'}}],
            'rows': [{'label': 'simulated', 'paper': [14], 'where': {'condition': 'easy'}}],
        },
    ],
    'figures': [
        {
            'name': name,
            'title': name,
            'kind': kind,
            'lines': [
                {'label': 'Ours', 'where': {'method': 'ours'}},
                {'label': 'Base', 'where': {'method': 'base'}},
            ],
            'panels': [{'label': 'easy', 'where': {'condition': 'easy'}}],
        }
        for name, kind in (('figure_1', 'improvement'), ('figure_2', 'curves'))
    ],
}


def results() -> list[StoredResult]:
    return [
        INVENTED,
        dataclasses.replace(INVENTED, seed=1, successes=9, numbers={'per_hour': 20.0}),
        dataclasses.replace(INVENTED, method='base', successes=6),
        dataclasses.replace(INVENTED, method='base', seed=1, successes=6),
        dataclasses.replace(INVENTED, experiment='another', numbers={'odd': 0.125}),
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, result in enumerate(results()):
        write_result(tmp_path / f'results/{number}.json', result)
    (tmp_path / 'papers').mkdir()
    (tmp_path / 'papers/invented.yaml').write_text(yaml.safe_dump(PAPER))
    return tmp_path


def paper(folder: Path, **changes: Any) -> Paper:
    (folder / 'one.yaml').write_text(yaml.safe_dump(PAPER | changes))
    [paper] = read_papers(folder)
    return paper


def cells(folder: Path, table: Mapping[str, Any], *found: StoredResult) -> list[list[Cell]]:
    read = paper(folder, tables=[table])
    return fill_table(read, read.tables[0], found)


def part(parts: list[Part], name: str) -> Part:
    return next(part for part in parts if part.spec.name == name)


def test_success_is_pooled_over_seeds_which_share_their_layouts(tmp_path: Path) -> None:
    rows = cells(tmp_path, PAPER['tables'][0], *results())
    [ours] = rows[1][0].ours
    assert (ours.successes, ours.episodes, ours.value) == (24, 40, 60.0)
    assert ours.interval == pytest.approx([100 * x for x in wilson(12, 20)])
    assert ours.values == (75.0, 45.0)
    assert said_of_ours(ours, '%') == ('24 of 40, 60 %', ['39 to 78', '2 seeds: 45 to 75'])
    assert [cell.is_missing for row in rows for cell in row] == [
        False, False, False,  # of the paper alone
        False, False, False,  # the last column is of the paper alone
        True, True, False,
    ]  # fmt: skip
    assert rows[0][0].theirs == Theirs(100 * 7 / 12, 7, 12)
    assert rows[0][0].ours == ()


def test_other_numbers_are_means_over_the_seeds_that_have_them(tmp_path: Path) -> None:
    never = dataclasses.replace(INVENTED, seed=2, numbers={'per_hour': math.nan})
    silent = dataclasses.replace(INVENTED, seed=3, numbers={})
    [[cell]] = cells(tmp_path, PAPER['tables'][1], *results(), never, silent)
    [ours] = cell.ours
    assert (ours.value, ours.interval) == (25.0, (20.0, 30.0))
    assert said_of_ours(ours, 'per hour') == (
        '25 per hour', ['20 to 30', '2 of 3 seeds, 60 episodes'],
    )  # fmt: skip
    [[cell]] = cells(tmp_path, PAPER['tables'][1], never)
    assert said_of_ours(cell.ours[0], 'per hour')[0] == 'never'
    [[cell]] = cells(tmp_path, PAPER['tables'][1], silent)
    assert cell.is_missing


def test_robots_that_a_table_does_not_tell_apart_are_not_thrown_together(tmp_path: Path) -> None:
    other = dataclasses.replace(INVENTED, robot='fr3', successes=3)
    cell = cells(tmp_path, PAPER['tables'][0], INVENTED, other)[1][0]
    assert [(cell.apart(ours), ours.value) for ours in cell.ours] == [
        (['fr3'], 15.0),
        (['wx250s'], 75.0),
    ]
    asked = dict(PAPER['tables'][0], rows=[{'label': 'fr3', 'where': {'robot': 'fr3'}}])
    assert [ours.value for ours in cells(tmp_path, asked, INVENTED, other)[0][0].ours] == [15.0]


def test_what_a_paper_says() -> None:
    assert said_of_theirs(Theirs(58.3, 7, 12), '%') == '7 of 12, 58 %'
    assert said_of_theirs(Theirs(14), 'per hour') == '14 per hour'
    assert parse_theirs(None) is None
    assert parse_theirs(58) == Theirs(58.0)


def ours_of(*rows: list[float]) -> Ours:
    """A method whose seeds succeed on these layouts."""
    found = tuple(
        dataclasses.replace(
            INVENTED, seed=seed, episodes=20, successes=int(sum(row)), numbers={LAYOUTS: row}
        )
        for seed, row in enumerate(rows)
    )
    return Ours(found, 'success', ())


def first(count: int) -> list[float]:
    """Success on the first so many of 20 layouts."""
    return [1.0] * count + [0.0] * (20 - count)


def test_an_improvement_is_that_of_the_layouts_that_both_met() -> None:
    middle, low, high = improvement(ours_of(first(10)), ours_of(first(5)))
    assert middle == pytest.approx(100)
    # By hand: 5 layouts with both, 5 with one alone, and half a layout more for each alone.
    a, b = 10.5, 5.5
    variance = 5 * (1 / a - 1 / b) ** 2 + 5 / a**2 + 0.5 / a**2 + 0.5 / b**2
    half = 2.0930 * math.sqrt(variance)  # Student's of 19
    assert [low, high] == pytest.approx(
        [100 * (a / b * math.exp(way * half) - 1) for way in (-1, 1)], abs=0.01
    )
    # A method that succeeds elsewhere tells less of how much better the other one is.
    apart = [0.0] * 10 + [1.0] * 5 + [0.0] * 5
    _, other_low, other_high = improvement(ours_of(first(10)), ours_of(apart))
    assert other_low < low < high < other_high
    # A second seed that does as the first one adds nothing; one that differs does.
    assert improvement(ours_of(first(10), first(10)), ours_of(first(5))) == (middle, low, high)
    mixed = improvement(ours_of(first(10), first(10)[::-1]), ours_of(first(5), first(5)[::-1]))
    assert low < mixed[1] < mixed[2] < high


def test_improvements_are_of_results_from_the_same_robot(folder: Path) -> None:
    def result(method: str, robot: str, count: int) -> StoredResult:
        return dataclasses.replace(
            INVENTED, method=method, robot=robot, successes=count, numbers={LAYOUTS: first(count)}
        )

    def said(*found: StoredResult) -> list[tuple[str, str]]:
        [(_, parts)] = fill([paper(folder)], list(found)).papers
        return [row for part in parts for row in rows_of_improvement(part)]

    better, base = result('ours', 'wx250s', 18), result('base', 'wx250s', 6)
    [(name, number)] = said(result('ours', 'fer', 2), better, base)
    assert name == 'easy, wx250s'
    assert number.startswith('+200 %')
    assert said(better, base) == [('easy', number)]
    assert said(result('ours', 'fer', 2), base) == []


def test_no_improvement_is_sure_after_few_layouts() -> None:
    always, half, never = ours_of(first(20)), ours_of(first(10)), ours_of(first(0))
    middle, low, high = improvement(always, always)
    assert middle == 0
    assert low < -8 < 8 < high
    _, low, high = improvement(always, half)
    assert 0 < low < 50 < 150 < high
    # No success at all has no ratio, but its limits still say something.
    assert improvement(always, never)[1] > 100
    assert improvement(never, never)[0] == 0


def test_results_without_their_layouts_count_as_one_seed_apart_from_the_other() -> None:
    def silent(*counts: int) -> Ours:
        ours = ours_of(*map(first, counts))
        results = tuple(dataclasses.replace(r, numbers={}) for r in ours.results)
        return dataclasses.replace(ours, results=results)

    one = improvement(silent(12), silent(6))
    assert one[0] == pytest.approx(100)
    assert improvement(silent(12, 12), silent(6, 6)) == pytest.approx(one)
    p, q = 12.5 / 21, 6.5 / 21
    half = 2.0930 * math.sqrt((1 / p - 1) / 21 + (1 / q - 1) / 21)
    assert math.log1p(one[2] / 100) == pytest.approx(math.log(p / q) + half, rel=1e-4)
    paired = improvement(ours_of(first(12)), ours_of(first(6)))
    assert one[1] < paired[1] < paired[2] < one[2]
    assert improvement(silent(12), ours_of(first(6))) == pytest.approx(one)


def test_missing_cells_are_listed_with_their_command(tmp_path: Path) -> None:
    content = fill([paper(tmp_path)], results())
    [(_, parts)] = content.papers
    assert part(parts, 'table_1').missing == [
        ('vvf invented ours --hard TASK', 'Hard, simulated, Ours'),
        ('vvf invented base --hard TASK', 'Hard, simulated, Base'),
    ]
    assert [left.experiment for left in content.left] == ['another']


def test_the_page_has_all_of_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, numbers = folder / 'deep/page.html', folder / 'numbers.json'
    words = [folder / 'results', '--papers', folder / 'papers', '--out', out, '--json', numbers]
    assert main(['report', 'tables', *map(str, words)]) == 0
    assert '5 results, 2 cells without one' in capsys.readouterr().out
    page = Page(out.read_text('utf-8'))
    text = ' '.join(page.texts)
    for said in (
        '7 of 12, 58 %', '24 of 40, 60 %', '2 seeds: 45 to 75', '+100 %', 'vvf invented --seed 0',
        '2 cores, no GPU', '1.5 min', 'vvf invented ours --hard TASK', 'odd 0.125',
    ):  # fmt: skip
        assert said in text
    pictures = [a['src'] for t, a in page.elements if t == 'img']
    assert len(pictures) == 3
    assert all(source.startswith('data:image/png;base64,') for source in pictures)
    assert sum(t == 'details' for t, _ in page.elements) == 4
    told = json.loads(numbers.read_text())
    assert told['cells_missing'] == 2
    assert told['commands_missing'][0] == 'vvf invented ours --hard TASK'
    cell = next(c for c in told['parts'][0]['cells'] if c['section'] == 'Easy' and c['ours'])
    assert cell['ours'][0]['by_seed'] == [75.0, 45.0]
    assert cell['ours'][0]['seeds'] == [0, 1]


def test_the_page_of_one_result_lies_beside_it(folder: Path) -> None:
    one = folder / 'results/0.json'
    assert main(['report', 'tables', str(one), '--papers', str(folder / 'papers')]) == 0
    assert (folder / 'results/tables.html').is_file()


def test_markdown_has_its_pictures_beside_it(folder: Path) -> None:
    out = folder / 'docs/tables.md'
    words = [folder / 'results', '--papers', folder / 'papers', '--out', out]
    assert main(['report', 'tables', *map(str, words)]) == 0
    text = out.read_text('utf-8')
    assert '**24 of 40, 60 %** (39 to 78; 2 seeds: 45 to 75)' in text
    assert '| real | 7 of 12, 58 % | 0 of 12, 0 % | 58 % |' in text
    for name in ('table_1', 'figure_1', 'figure_2'):
        assert f'](tables_pictures/{name}.png)' in text
        picture = cv2.imread(str(folder / f'docs/tables_pictures/{name}.png'))
        assert picture is not None
        assert picture.std() > 5


def test_curves_that_do_not_fit_their_steps_are_refused(tmp_path: Path) -> None:
    torn = dataclasses.replace(INVENTED, numbers={'curve_steps': [0, 1], 'curve_success': [0.5]})
    with pytest.raises(UserError, match='ours, easy, seed 0 has 1 numbers at 2 steps'):
        fill([paper(tmp_path)], [torn])


def test_a_folder_that_is_called_tables_is_still_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'tables').mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(['report', './tables']) == 2
    assert 'no bags' in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(['report', 'tables'])
    assert stop.value.code == 2
    assert 'FOLDER' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['tables', 'results', '--out', 'page.pdf'], 'in .html or .md'),
        (['tables', 'papers'], 'no stored results below papers'),
        (['tables', 'nowhere'], 'nowhere: no such file or folder'),
        (['tables', 'results', '--papers', 'nowhere'], 'nowhere holds no papers'),
    ],
)
def test_what_a_user_can_mend_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: list[str], said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    assert main(['report', *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ('table', 'said'),
    [
        ({'rows': [{'label': 'a', 'paper': [1]}]}, "'a' has 1 numbers for 3 columns"),
        ({'rows': [{'label': 'a', 'where': {'sed': '1'}}]}, "'sed' says nothing about a result"),
        ({'rowz': []}, 'rowz'),
        *(
            (
                {'rows': [{'label': 'a', 'paper': [said, 1, 1]}]},
                f"'a' says '{said}': write a number",
            )
            for said in ('7 of 12', '13/12', '0/0', True)
        ),
        ({'command': 'vvf {methods}'}, "'vvf {methods}' cannot be filled in"),
        ({'command': 'vvf {'}, 'cannot be filled in'),
    ],
)
def test_a_wrong_paper_is_named(tmp_path: Path, table: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        paper(tmp_path, tables=[PAPER['tables'][0] | table])
    assert 'one.yaml' in str(caught.value)


def test_the_papers_numbers_add_up() -> None:
    """The shipped files: totals are those of the rows above them, and all of it can be filled."""
    papers = read_papers()
    assert [paper.experiment for paper in papers] == ['vptr', 'recap', 'online_rl', 'value_gate']
    tables = {table.name: table for paper in papers for table in paper.tables}
    sections: dict[str, list[Any]] = {}
    for row in tables['vptr_table_1'].rows:
        sections.setdefault(row.section, []).append(row)
    sums = [rows for rows in sections.values() if rows[-1].paper]
    sums.append([row for row in tables['vptr_table_3'].rows if row.paper])
    assert len(sums) == 4
    for *rows, total in sums:
        assert total.label == 'Total'
        for column, said in enumerate(total.paper):
            if said is not None:
                counts = [parse_theirs(row.paper[column]) for row in rows]
                assert all(counts)
                parsed = parse_theirs(said)
                assert parsed is not None
                assert parsed.successes == sum(c.successes for c in counts if c)
                assert parsed.trials == sum(c.trials for c in counts if c)
    content = fill(papers, [])
    missing = [part for _, parts in content.papers for part in parts if part.missing]
    assert all(command for part in missing for command, _ in part.missing)
    for _, parts in content.papers:
        for each in parts:
            if isinstance(each.spec, Table):
                assert each.picture is None


def test_the_papers_ask_for_methods_that_there_are() -> None:
    there = {
        'vptr': set(METHODS),
        'recap': {*RECAP_METHODS, IMITATION},
        'online_rl': set(REWARDS),
        'value_gate': set(REACTIONS),
    }
    for paper in read_papers():
        for spec in (*paper.tables, *paper.figures):
            asked = {c.where['method'] for c in columns(spec) if c.where}
            assert asked <= there[paper.experiment], spec.name
