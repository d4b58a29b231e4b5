# SPDX-License-Identifier: Apache-2.0
"""The report page in a real headless browser: what a person points at, presses and sees."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.vvf.browser import DESKTOP, PHONE, Browser, find_browser
from tests.vvf.test_report import HOSTILE, episodes, track
from vvf.images import encode_jpeg
from vvf.viz.cards import EpisodeReport
from vvf.viz.report import write_report

pytestmark = pytest.mark.browser


@pytest.fixture(scope='module')
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_browser()
    assert program, 'no chromium on the path: install one, or name it in $VVF_BROWSER'
    with Browser(program, tmp_path_factory.mktemp('profile')) as browser:
        yield browser


@pytest.fixture(scope='module')
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(tmp_path_factory.mktemp('page') / 'page.html', episodes(), {'episodes': 3})


def shown(browser: Browser, query: str) -> list[str]:
    """Texts of the elements that are not hidden."""
    texts: list[str] = browser.run(
        f"[...document.querySelectorAll('{query}')].filter(e => e.checkVisibility())"
        '.map(e => e.textContent)'
    )
    return texts


def reading(browser: Browser, card: str) -> list[str]:
    texts: list[str] = browser.run(
        f"[...document.querySelector('{card} .read').querySelectorAll('th, td')]"
        '.map(e => e.textContent)'
    )
    return texts


def near(browser: Browser, card: str) -> list[float]:
    times: list[float] = browser.run(
        f"[...document.querySelectorAll('{card} .near')].map(e => Number(e.dataset.t))"
    )
    return times


def test_a_curve_is_read_off_with_the_pointer(browser: Browser, page: Path) -> None:
    browser.open(page)
    before = reading(browser, '#episode-1')
    x, y, width, height = browser.place('#episode-1 .chart')
    browser.move(x + 0.5 * width, y + height / 2)
    numbers = reading(browser, '#episode-1')
    assert numbers[0] == '2.00 s dropped'
    assert numbers[4:8] == ['live', '0.50', '-10.00 ± 0.50', '+0.00']
    assert numbers[8:] == ['relabelled', '0.25', '–', '–']
    assert near(browser, '#episode-1') == [1.9]
    browser.move(x + 0.01 * width, y + height / 2)
    assert near(browser, '#episode-1') == [0.0]
    browser.move(1, 1)
    assert near(browser, '#episode-1') == []
    assert reading(browser, '#episode-1') == before


def test_a_picture_shows_where_on_the_curve_it_is(browser: Browser, page: Path) -> None:
    browser.open(page)
    x, y, width, height = browser.place('#episode-1 .film figure:last-child')
    browser.move(x + width / 2, y + height / 2)
    assert reading(browser, '#episode-1')[0] == '3.80 s'
    assert near(browser, '#episode-1') == [3.8]


def test_a_curve_is_read_off_with_the_keyboard(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.run("document.querySelector('#episode-1 .chart').focus()")
    seen = {}
    for key in ('Home', 'ArrowRight', 'PageDown', 'PageDown', 'ArrowLeft', 'End', 'PageUp'):
        browser.press(key)
        seen[key] = reading(browser, '#episode-1')[0]
    assert seen == {
        'Home': '0.00 s', 'ArrowRight': '0.20 s', 'PageDown': '2.00 s dropped',
        'ArrowLeft': '1.80 s', 'End': '4.00 s', 'PageUp': '2.00 s dropped',
    }  # fmt: skip
    spoken = browser.run(
        "document.querySelector('#episode-1 .chart').getAttribute('aria-valuetext')"
    )
    assert spoken == '2.00 s dropped, live 0.50, relabelled 0.25'
    # Every control can be reached without a pointer.
    browser.run("document.querySelector('.theme').focus()")
    browser.press('Tab')
    assert browser.run("document.activeElement.closest('.bar') !== null")


def test_the_table_sorts_itself_and_the_cards(browser: Browser, page: Path) -> None:
    browser.open(page)
    order = "[...document.querySelectorAll('.card')].map(e => e.id.slice(-1)).join('')"
    rows = "[...document.querySelectorAll('tr[data-card]')].map(e => e.dataset.card.slice(-1))"
    assert browser.run(order) == '213'
    browser.click('th[data-key=steps] button')
    assert browser.run(order) == '123'
    assert browser.run(f"{rows}.join('')") == '123'
    browser.click('th[data-key=complaints] button')
    assert browser.run(order) == '312'
    browser.click('th[data-key=complaints] button')
    assert browser.run(order) == '123'
    browser.click('th[data-key=outcome] button')
    assert browser.run(order) == '213'
    assert browser.run("document.querySelectorAll('[aria-sort]').length") == 1
    browser.run(
        "document.querySelector('.order').value = 'fall down';"
        "document.querySelector('.order').dispatchEvent(new Event('change'))"
    )
    assert browser.run(order) == '213'  # what has no curve comes last, either way


def test_outcome_and_instruction_filter_together(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.click('button[data-outcome=failure]')
    assert shown(browser, '.card h3') == ['ep-2']
    assert shown(browser, 'tr[data-card] a') == ['ep-2']
    assert shown(browser, '.count') == ['1 of 3 shown']
    browser.run(
        "document.querySelector('.task').value = 'put it there';"
        "document.querySelector('.task').dispatchEvent(new Event('change'))"
    )
    assert shown(browser, '.card h3') == []
    browser.click('button[data-outcome=all]')
    assert shown(browser, '.card h3') == ['ep-1']


def test_nothing_is_asked_for_and_no_script_of_a_bag_runs(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.click('#episode-3 .chart')
    assert browser.requests() == []
    assert browser.errors() == []
    assert HOSTILE in shown(browser, '.card h3')


@pytest.mark.parametrize('size', [PHONE, DESKTOP])
def test_nothing_sticks_out_of_the_page(
    browser: Browser, page: Path, size: tuple[int, int]
) -> None:
    browser.open(page, size)
    assert browser.run('document.documentElement.scrollWidth') <= size[0]
    x, _, width, _ = browser.place('#episode-1 .chart')
    assert x >= 0
    assert x + width <= size[0]
    named = [name for name in shown(browser, '#episode-1 .name') if name]
    assert sorted(named) == ['dropped', 'grasped']


def test_dark_and_light(browser: Browser, page: Path) -> None:
    paper = 'getComputedStyle(document.body).backgroundColor'
    browser.open(page)
    light = browser.run(paper)
    browser.click('.theme')
    dark = browser.run(paper)
    assert dark != light
    browser.click('.theme')
    assert browser.run(paper) == light
    browser.open(page, dark=True)
    assert browser.run(paper) == dark


def test_hundreds_of_episodes_are_drawn_only_where_they_are_seen(
    browser: Browser, tmp_path: Path
) -> None:
    jpeg = encode_jpeg(np.full((32, 32, 3), 90, np.uint8))
    film = [('', [(float(t), jpeg) for t in range(8)])]
    progress = np.linspace(0, 1, 100).tolist()
    many = [
        EpisodeReport(f'e{i}', 'success', 20.0, 100, [track('live', progress)], film)
        for i in range(200)
    ]
    browser.open(write_report(tmp_path / 'many.html', many, {}))
    drawn = (
        "[...document.querySelectorAll('.card .read')]"
        '.filter(e => e.checkVisibility({contentVisibilityAuto: true})).length'
    )
    assert browser.run("document.querySelectorAll('.card').length") == 200
    assert browser.run(drawn) < 20
    browser.click('th[data-key=name] button')
    browser.place('#episode-200 .chart')
    assert browser.run('new Promise(done => requestAnimationFrame(() => requestAnimationFrame('
                       f'() => done({drawn}))))') < 20  # fmt: skip
    # Nothing of an episode is parsed before somebody points at it.
    assert browser.run("document.querySelectorAll('.dot').length") == 0
