# SPDX-License-Identifier: Apache-2.0
"""What the report page does: reading curves off, sorting, filtering, dark and light.

Without it the page shows the same, in the order in which it was written. Nothing is read or built
for an episode before somebody points at it, so a page of hundreds opens at once.
"""

from __future__ import annotations

JS = """
'use strict';
const all = (query, root = document) => [...root.querySelectorAll(query)];

document.querySelector('.theme').addEventListener('click', () => {
  const root = document.documentElement.style;
  const dark = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  root.colorScheme = (root.colorScheme || dark) === 'dark' ? 'light' : 'dark';
});

// Rows of the table and cards of the list: the same episodes, the same order.
const body = document.querySelector('.episodes tbody'), list = document.querySelector('.cards');
const order = document.querySelector('.order'), task = document.querySelector('.task');
if (body) {
  const items = all('tr', body).map((row) => ({
    row, card: document.getElementById(row.dataset.card), keys: JSON.parse(row.dataset.keys),
  }));
  const wanted = { outcome: 'all', task: 'all' };
  const filter = () => {
    let shown = 0;
    for (const { row, card, keys } of items) {
      const fits = Object.entries(wanted).every(([k, v]) => v === 'all' || keys[k] === v);
      row.hidden = !fits;
      if (card) card.hidden = !fits;
      shown += fits;
    }
    document.querySelector('.count').textContent =
      shown === items.length ? '' : `${shown} of ${items.length} shown`;
  };
  const sort = (key, up) => {
    const compare = new Intl.Collator('en', { numeric: true }).compare;
    items.sort((a, b) => {
      const [x, y] = [a.keys[key], b.keys[key]];
      if (x === null || y === null) return (x === null) - (y === null);
      const way = typeof x === 'number' ? x - y : compare(x, y);
      return (up ? way : -way) || a.keys.index - b.keys.index;
    });
    body.append(...items.map((item) => item.row));
    list.append(...items.map((item) => item.card).filter(Boolean));
    for (const head of all('.episodes th')) {
      if (head.dataset.key === key) head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      else head.removeAttribute('aria-sort');
    }
    order.value = key + (up ? ' up' : ' down');
  };
  for (const button of all('.bar button'))
    button.addEventListener('click', () => {
      wanted.outcome = button.dataset.outcome;
      for (const other of all('.bar button'))
        other.setAttribute('aria-pressed', String(other === button));
      filter();
    });
  if (task) task.addEventListener('change', () => { wanted.task = task.value; filter(); });
  order.addEventListener('change', () => {
    const [key, way] = order.value.split(' ');
    sort(key, way === 'up');
  });
  for (const button of all('.episodes th button'))
    button.addEventListener('click', () => {
      const head = button.parentNode, key = head.dataset.key, now = head.getAttribute('aria-sort');
      // Words from A on, numbers from the largest on; the other way round the second time.
      const words = items.some((item) => typeof item.keys[key] === 'string');
      sort(key, now ? now === 'descending' : words);
    });
  // A browser that comes back to the page puts its own choices back.
  for (const field of [order, task]) if (field) field.selectedIndex = 0;
}

const known = new WeakMap();
const facts = (chart) => {
  if (!known.has(chart)) {
    const data = JSON.parse(chart.dataset.curves), read = chart.nextElementSibling;
    known.set(chart, {
      data, read, now: data.span, rest: read.innerHTML,
      strips: all('.film', chart.parentNode).map((strip) => all('figure', strip)),
      dots: data.curves.map((curve) => {
        const dot = document.createElement('i');
        dot.className = 'dot ' + curve.style;
        chart.append(dot);
        return dot;
      }),
    });
  }
  return known.get(chart);
};
const nearest = (times, t) => {
  let low = 0, high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < t) low = middle + 1; else high = middle;
  }
  return low > 0 && t - times[low - 1] <= times[low] - t ? low - 1 : low;
};
const say = (x, sign) => {
  if (x === undefined || x === null) return '–';
  return (sign && x >= 0 ? '+' : '') + x.toFixed(2);
};
const clock = (t, unit) => unit === 's' ? t.toFixed(2) + ' s' : unit + ' ' + t.toFixed(0);
const show = (chart, t) => {
  const own = facts(chart), { data } = own;
  t = Math.min(Math.max(t, 0), data.span);
  // On a sample, where there is one: the numbers are those of the place that is pointed at.
  const times = data.curves.length ? data.curves[0].t : [];
  const sample = times[nearest(times, t)];
  own.now = Math.abs(sample - t) < data.span / 50 ? sample : t;
  chart.classList.add('on');
  chart.querySelector('.cursor').style.left = own.now / data.span * 100 + '%';
  const mark = data.marks.filter(([at]) => Math.abs(at - own.now) < data.span / 80).pop();
  own.read.rows[0].cells[0].textContent = clock(own.now, data.unit) + (mark ? ' ' + mark[1] : '');
  const words = [];
  data.curves.forEach((curve, number) => {
    const i = nearest(curve.t, own.now);
    const near = Math.abs(curve.t[i] - own.now) < Math.max(1, data.span / 50);
    const row = own.read.tBodies[0].rows[number].cells, dot = own.dots[number];
    const at = (column) => near && column ? column[i] : null;
    const spread = at(curve.u);
    row[1].textContent = say(at(curve.p));
    row[2].textContent = say(at(curve.v)) + (spread === null ? '' : ' ± ' + say(spread));
    row[3].textContent = say(at(curve.a), true);
    dot.hidden = !near;
    dot.style.left = curve.t[i] / data.span * 100 + '%';
    dot.style.bottom = curve.p[i] * 100 + '%';
    words.push(curve.name + ' ' + row[1].textContent);
  });
  chart.setAttribute('aria-valuenow', own.now.toFixed(2));
  chart.setAttribute('aria-valuetext', own.read.rows[0].cells[0].textContent + ', ' +
    words.join(', '));
  for (const strip of own.strips) {
    const near = nearest(strip.map((figure) => Number(figure.dataset.t)), own.now);
    strip.forEach((figure, i) => figure.classList.toggle('near', i === near));
  }
};
const hide = (chart) => {
  const own = facts(chart);
  chart.classList.remove('on');
  own.read.innerHTML = own.rest;
  for (const figure of own.strips.flat()) figure.classList.remove('near');
};
const chartAt = (event) => event.target.closest ? event.target.closest('.chart') : null;
const follow = (event) => {
  const chart = chartAt(event);
  if (chart) {
    const box = chart.getBoundingClientRect();
    show(chart, (event.clientX - box.left) / box.width * facts(chart).data.span);
    return;
  }
  const figure = event.target.closest ? event.target.closest('.film figure') : null;
  const below = figure && figure.closest('.card').querySelector('.chart');
  if (below) show(below, Number(figure.dataset.t));
};
document.addEventListener('pointermove', follow);
document.addEventListener('pointerdown', follow);
document.addEventListener('pointerout', (event) => {
  // A finger that is lifted leaves the numbers there to be read.
  if (event.pointerType === 'touch') return;
  const card = event.target.closest && event.target.closest('.card');
  const inside = event.relatedTarget && event.relatedTarget.closest &&
    event.relatedTarget.closest('.chart, .film figure');
  if (card && !(inside && card.contains(inside)))
    for (const chart of all('.chart.on', card)) if (chart !== document.activeElement) hide(chart);
});
document.addEventListener('focusin', (event) => {
  const chart = chartAt(event);
  if (chart) show(chart, facts(chart).now);
});
document.addEventListener('focusout', (event) => {
  const chart = chartAt(event);
  if (chart) hide(chart);
});
document.addEventListener('keydown', (event) => {
  const chart = chartAt(event);
  if (!chart || event.ctrlKey || event.altKey || event.metaKey) return;
  const { data, now } = facts(chart), slack = data.span / 1000;
  const after = (times, n) => times.filter((t) => t > now + slack)[n] ?? data.span;
  const before = (times, n) => times.filter((t) => t < now - slack).reverse()[n] ?? 0;
  const samples = data.curves.length ? data.curves[0].t : [];
  const events = data.marks.map(([t]) => t), far = Math.ceil(samples.length / 10);
  const step = event.shiftKey ? far : Math.floor(samples.length / 150);
  const to = {
    ArrowLeft: () => before(samples, step), ArrowRight: () => after(samples, step),
    Home: () => 0, End: () => data.span,
    PageUp: () => before(events, 0), PageDown: () => after(events, 0),
  }[event.key];
  if (event.key === 'Escape') hide(chart);
  if (to === undefined) return;
  event.preventDefault();
  show(chart, to());
});
"""
