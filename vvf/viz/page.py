# SPDX-License-Identifier: Apache-2.0
"""Style and behaviour of the report page; everything is inlined, so the page is one file."""

from __future__ import annotations

CSS = """
:root {
  color-scheme: light dark;
  --paper: #f6f5f1; --card: #ffffff; --ink: #1a1f29; --soft: #626b7a; --line: #e2e0d9;
  --live: #2563c9; --again: #d9730d; --third: #177a4c; --fourth: #804ab2; --fifth: #787e8a;
  --limit: #8a6d3b; --success: #177a4c; --failure: #bd3a34; --other: #6d7482;
  --shadow: 0 1px 2px rgb(20 25 35 / .06), 0 6px 20px rgb(20 25 35 / .05);
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #0f131a; --card: #171c25; --ink: #e8ebf1; --soft: #98a2b3; --line: #2a313d;
    --live: #6aa8ff; --again: #ffa95c; --third: #5bc98f; --fourth: #c39bf0; --fifth: #a3acba;
    --limit: #c9a862; --success: #5bc98f; --failure: #ff8a80; --other: #a3acba; --shadow: none;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  font-variant-numeric: tabular-nums;
}
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 80px; }
h1 { font-size: 30px; line-height: 1.15; letter-spacing: -.02em; margin: 0; font-weight: 650; }
h2 { font-size: 19px; letter-spacing: -.01em; margin: 44px 0 14px; font-weight: 640; }
.lead { color: var(--soft); margin: 6px 0 26px; max-width: 68ch; }
.tiles { display: grid; gap: 12px; grid-template-columns: repeat(auto-fill, minmax(134px, 1fr)); }
.tile, .card, .table {
  background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  box-shadow: var(--shadow);
}
.tile { padding: 13px 16px 12px; }
.tile b { display: block; font-size: 23px; line-height: 1.25; font-weight: 640;
  letter-spacing: -.015em; overflow-wrap: anywhere; }
.tile span { color: var(--soft); font-size: 13px; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; min-width: 620px; }
th, td { text-align: right; padding: 8px 14px; white-space: nowrap; }
th { font-weight: 560; color: var(--soft); font-size: 13px; white-space: normal;
  vertical-align: bottom; line-height: 1.25; border-bottom: 1px solid var(--line); }
td { border-bottom: 1px solid var(--line); }
tbody tr:last-child td { border-bottom: 0; }
tbody tr:hover { background: color-mix(in srgb, var(--live) 6%, transparent); }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
a { color: inherit; text-decoration-color: var(--line); text-underline-offset: 3px; }
a:hover { text-decoration-color: currentColor; }
.bar { display: flex; flex-wrap: wrap; gap: 8px; margin: 0 0 16px; }
.bar button {
  font: inherit; font-size: 14px; color: var(--soft); background: none; cursor: pointer;
  border: 1px solid var(--line); border-radius: 999px; padding: 4px 14px;
}
.bar button[aria-pressed=true] {
  background: var(--ink); color: var(--paper); border-color: var(--ink);
}
button:focus-visible, a:focus-visible, .chart:focus-visible {
  outline: 2px solid var(--live); outline-offset: 2px;
}
.pill {
  display: inline-block; font-size: 12.5px; font-weight: 580; border-radius: 999px;
  padding: 1px 10px; color: var(--other);
  background: color-mix(in srgb, currentColor 13%, transparent);
}
.pill.success { color: var(--success); } .pill.failure { color: var(--failure); }
.card { padding: 18px 20px 20px; margin: 0 0 18px; scroll-margin-top: 16px; }
.card header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 12px; }
.card h3 { font-size: 16px; margin: 0; font-weight: 630; overflow-wrap: anywhere; }
.facts { color: var(--soft); font-size: 13.5px; margin: 2px 0 12px; }
p.below { margin-top: 8px; }
.film { display: flex; gap: 4px; margin: 0 0 14px 38px; }
.film figure { margin: 0; flex: 1 1 0; min-width: 0; }
.film img {
  width: 100%; display: block; border-radius: 6px; background: var(--line);
  outline: 2px solid transparent; outline-offset: -2px;
}
.film .near img { outline-color: var(--live); }
.film figcaption { font-size: 11.5px; color: var(--soft); text-align: center; margin-top: 2px; }
.chart { position: relative; height: 190px; margin: 0 2px 24px 38px; touch-action: pan-y; }
.chart svg { width: 100%; height: 100%; display: block; overflow: visible; }
.chart svg * { vector-effect: non-scaling-stroke; }
.grid { stroke: var(--line); stroke-width: 1; }
.limit { stroke: var(--limit); stroke-width: 1.3; stroke-dasharray: 5 4; }
.live { --own: var(--live); } .again { --own: var(--again); } .third { --own: var(--third); }
.fourth { --own: var(--fourth); } .fifth { --own: var(--fifth); }
.curve { fill: none; stroke: var(--own); stroke-width: 2; stroke-linejoin: round;
  stroke-linecap: round; }
.event { stroke: var(--other); stroke-width: 1; stroke-dasharray: 2 3; }
.event.milestone { stroke: var(--success); } .name.milestone { color: var(--success); }
.event.error { stroke: var(--failure); } .name.error { color: var(--failure); }
.y, .x { position: absolute; font-size: 11.5px; color: var(--soft); }
.y { right: 100%; margin-right: 8px; transform: translateY(50%); }
.x { top: 100%; margin-top: 4px; transform: translateX(-50%); }
.name { position: absolute; font-size: 11px; color: var(--soft); margin-left: 4px;
  line-height: 1.3; white-space: nowrap; }
.cursor { position: absolute; top: 0; bottom: 0; width: 1px; background: var(--soft); }
.tip {
  position: absolute; top: 6px; padding: 6px 9px; border-radius: 8px; font-size: 12.5px;
  background: var(--card); border: 1px solid var(--line); pointer-events: none; white-space: nowrap;
  box-shadow: 0 4px 16px rgb(0 0 0 / .16); z-index: 1;
}
.cursor, .tip { display: none; }
.chart.on .cursor, .chart.on .tip { display: block; }
.tip i { font-style: normal; font-weight: 620; }
.tip span { color: var(--own); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13px; color: var(--soft);
  margin: 0 0 16px; }
.legend span::before {
  content: ""; display: inline-block; width: 22px; vertical-align: middle; margin-right: 7px;
  border-top: 2.5px solid currentColor; border-radius: 2px;
}
.legend span:not(.t)::before { border-color: var(--own); }
.legend .t::before { border-top: 1.5px dashed var(--limit); border-radius: 0; }
.strip { color: var(--soft); font-size: 12.5px; margin: 0 0 3px 38px; }
.picture { width: 100%; display: block; border-radius: 12px; border: 1px solid var(--line); }
.wide th { white-space: nowrap; text-align: right; vertical-align: bottom; }
.wide td { padding: 4px 14px; } .wide td:first-child { white-space: normal; }
.wide .section td { padding-top: 14px; font-weight: 600; border-bottom-color: var(--soft); }
.wide td:nth-child(2), .wide th:nth-child(2) { text-align: right; }
.wide td.sub { padding-left: 32px; color: var(--soft); }
.notes { color: var(--soft); font-size: 13.5px; padding-left: 1.2em; max-width: 80ch; }
.none { color: var(--soft); margin: 4px 0 0; }
.warn { color: var(--limit); font-size: 13.5px; margin: 8px 0 0; }
footer { color: var(--soft); font-size: 13px; margin-top: 36px; }
[hidden] { display: none !important; }
@media (max-width: 640px) {
  main { padding: 24px 14px 56px; }
  h1 { font-size: 25px; }
  .tiles { grid-template-columns: repeat(2, 1fr); gap: 8px; }
  .tile { padding: 10px 12px; } .tile b { font-size: 19px; }
  th, td { padding: 7px 10px; }
  .card { padding: 14px 14px 16px; border-radius: 10px; }
  .film { margin-left: 0; overflow-x: auto; scroll-snap-type: x proximity; padding-bottom: 4px; }
  .film figure { flex: 0 0 82px; scroll-snap-align: start; }
  .chart { margin-left: 30px; height: 160px; }
}
@media print { .bar { display: none; } .card { break-inside: avoid; box-shadow: none; } }
"""

JS = """
'use strict';
for (const button of document.querySelectorAll('.bar button')) {
  button.addEventListener('click', () => {
    const wanted = button.dataset.outcome;
    for (const other of document.querySelectorAll('.bar button'))
      other.setAttribute('aria-pressed', String(other === button));
    for (const item of document.querySelectorAll('[data-episode]'))
      item.hidden = wanted !== 'all' && item.dataset.episode !== wanted;
  });
}
const at = (points, t) => {
  let best = null;
  for (const point of points)
    if (best === null || Math.abs(point[0] - t) < Math.abs(best[0] - t)) best = point;
  return best;
};
for (const chart of document.querySelectorAll('.chart')) {
  const data = JSON.parse(chart.dataset.curves);
  const cursor = chart.querySelector('.cursor'), tip = chart.querySelector('.tip');
  const frames = [...chart.closest('.card').querySelectorAll('figure')];
  let now = 0;
  const show = (t) => {
    now = Math.min(Math.max(t, 0), data.span);
    const share = now / data.span;
    chart.classList.add('on');
    cursor.style.left = share * 100 + '%';
    const time = document.createElement('i');
    time.textContent = data.unit === 's' ? now.toFixed(1) + ' s' : data.unit + ' ' + now.toFixed(0);
    tip.replaceChildren(time);
    for (const curve of data.curves) {
      const point = at(curve.points, now);
      if (!point || Math.abs(point[0] - now) >= Math.max(1, data.span / 50)) continue;
      const line = document.createElement('span'), number = document.createElement('i');
      line.className = curve.style;
      number.textContent = point[1].toFixed(3);
      line.append(curve.name + ' ', number);
      tip.append(document.createElement('br'), line);
    }
    tip.style.left = share < .6 ? 'calc(' + share * 100 + '% + 10px)' : 'auto';
    tip.style.right = share < .6 ? 'auto' : 'calc(' + (1 - share) * 100 + '% + 10px)';
    let near = null;
    for (const frame of frames)
      if (!near || Math.abs(frame.dataset.t - now) < Math.abs(near.dataset.t - now)) near = frame;
    for (const frame of frames) frame.classList.toggle('near', frame === near);
  };
  const hide = () => {
    chart.classList.remove('on');
    for (const frame of frames) frame.classList.remove('near');
  };
  chart.addEventListener('pointermove', (event) => {
    const box = chart.getBoundingClientRect();
    show((event.clientX - box.left) / box.width * data.span);
  });
  chart.addEventListener('pointerleave', hide);
  chart.addEventListener('blur', hide);
  chart.addEventListener('focus', () => show(now));
  chart.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) { event.preventDefault(); show(now + step * data.span / 50); }
  });
  for (const frame of frames) {
    frame.addEventListener('pointerenter', () => show(Number(frame.dataset.t)));
    frame.addEventListener('pointerleave', hide);
  }
}
"""
