# SPDX-License-Identifier: Apache-2.0
"""Style of the report page, inlined with everything else, so the page is one file."""

from __future__ import annotations

CSS = """
:root {
  color-scheme: light dark;
  --paper: light-dark(#f6f5f1, #0f131a); --card: light-dark(#ffffff, #171c25);
  --ink: light-dark(#1a1f29, #e8ebf1); --soft: light-dark(#5d6675, #98a2b3);
  --line: light-dark(#e2e0d9, #2a313d);
  --live: light-dark(#2563c9, #6aa8ff); --again: light-dark(#d9730d, #ffa95c);
  --third: light-dark(#177a4c, #5bc98f); --fourth: light-dark(#804ab2, #c39bf0);
  --fifth: light-dark(#787e8a, #a3acba); --limit: light-dark(#8a6d3b, #c9a862);
  --success: light-dark(#177a4c, #5bc98f); --failure: light-dark(#bd3a34, #ff8a80);
  --other: light-dark(#6d7482, #a3acba); --human: light-dark(#804ab2, #c39bf0);
  --shadow: 0 1px 2px rgb(20 25 35 / .06), 0 6px 20px rgb(20 25 35 / .05);
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  font-variant-numeric: tabular-nums;
}
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 80px; }
h1 { font-size: 30px; line-height: 1.15; letter-spacing: -.02em; margin: 0; font-weight: 650; }
.top { display: flex; justify-content: space-between; align-items: flex-start; gap: 16px; }
.theme { font: inherit; font-size: 18px; line-height: 1; padding: 6px 9px; cursor: pointer;
  color: var(--soft); background: none; border: 1px solid var(--line); border-radius: 8px; }
h2 { font-size: 19px; letter-spacing: -.01em; margin: 44px 0 14px; font-weight: 640; }
.lead { color: var(--soft); margin: 6px 0 26px; max-width: 68ch; }
.tiles { display: grid; gap: 12px; grid-template-columns: repeat(auto-fill, minmax(112px, 1fr)); }
.tile, .card, .table {
  background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  box-shadow: var(--shadow);
}
.tile { padding: 12px 14px 11px; }
.tile b { display: block; font-size: 21px; line-height: 1.25; font-weight: 640;
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
th:first-child, td:first-child, .words { text-align: left; }
td.words { white-space: normal; }
td.words.long { min-width: 180px; }
th button { font: inherit; color: inherit; background: none; border: 0; padding: 0; margin: 0;
  cursor: pointer; text-align: inherit; position: relative; }
th button::after { position: absolute; left: calc(100% + 2px); bottom: 0; }
th[aria-sort] button { color: var(--ink); }
th[aria-sort=ascending] button::after { content: "↑"; }
th[aria-sort=descending] button::after { content: "↓"; }
.episodes { max-height: 560px; overflow: auto; }
.episodes thead th { position: sticky; top: 0; background: var(--card); z-index: 2;
  box-shadow: inset 0 -1px var(--line); }
.bad { color: var(--failure); }
a { color: inherit; text-decoration-color: var(--line); text-underline-offset: 3px; }
a:hover { text-decoration-color: currentColor; }
.bar { display: flex; flex-wrap: wrap; gap: 8px; margin: 0 0 12px; align-items: center; }
.bar select {
  font: inherit; font-size: 14px; color: var(--ink); background: var(--card); min-width: 0;
  border: 1px solid var(--line); border-radius: 8px; padding: 4px 8px; max-width: min(100%, 340px);
}
.bar label { font-size: 14px; color: var(--soft); display: inline-flex; gap: 6px;
  align-items: center; min-width: 0; max-width: 100%; }
.count { font-size: 14px; color: var(--soft); }
.bar button {
  font: inherit; font-size: 14px; color: var(--soft); background: none; cursor: pointer;
  border: 1px solid var(--line); border-radius: 999px; padding: 4px 14px;
}
.bar button[aria-pressed=true] {
  background: var(--ink); color: var(--paper); border-color: var(--ink);
}
button:focus-visible, a:focus-visible, select:focus-visible, .chart:focus-visible {
  outline: 2px solid var(--live); outline-offset: 2px;
}
.pill {
  display: inline-block; font-size: 12.5px; font-weight: 580; border-radius: 999px;
  padding: 1px 10px; color: var(--other);
  background: color-mix(in srgb, currentColor 13%, transparent);
}
.pill.success { color: var(--success); } .pill.failure { color: var(--failure); }
.card { padding: 18px 20px 20px; margin: 0 0 18px; scroll-margin-top: 16px;
  content-visibility: auto; contain-intrinsic-size: auto 520px; }
.card:target { outline: 2px solid var(--live); outline-offset: -1px; }
.card header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 12px; }
.card h3 { font-size: 16px; margin: 0; font-weight: 630; overflow-wrap: anywhere; }
.facts { color: var(--soft); font-size: 13.5px; margin: 2px 0 12px; }
p.below { margin-top: 8px; }
.film { display: flex; gap: 4px; margin: 0 0 14px 38px; }
.film figure { margin: 0; flex: 1 1 0; min-width: 0; max-width: 220px; }
.film img {
  width: 100%; display: block; border-radius: 6px; background: var(--line);
  outline: 2px solid transparent; outline-offset: -2px;
}
.film .near img { outline-color: var(--live); }
.film figcaption { font-size: 11.5px; color: var(--soft); text-align: center; margin-top: 2px; }
.chart { position: relative; height: 190px; margin: 0 2px 26px 38px; touch-action: pan-y;
  cursor: crosshair; border-radius: 3px; }
.chart svg { width: 100%; height: 100%; display: block; overflow: visible; }
.chart svg * { vector-effect: non-scaling-stroke; }
.grid { stroke: var(--line); stroke-width: 1; }
.limit { stroke: var(--limit); stroke-width: 1.3; stroke-dasharray: 5 4; }
.live { --own: var(--live); } .again { --own: var(--again); } .third { --own: var(--third); }
.fourth { --own: var(--fourth); } .fifth { --own: var(--fifth); }
.curve { fill: none; stroke: var(--own); stroke-width: 2; stroke-linejoin: round;
  stroke-linecap: round; }
.fall { fill: none; stroke: var(--failure); stroke-width: 9; stroke-opacity: .28;
  stroke-linejoin: round; stroke-linecap: round; }
.human { fill: var(--human); fill-opacity: .13; }
.event { stroke: var(--other); stroke-width: 1; stroke-dasharray: 2 3; }
.event.milestone { stroke: var(--success); } .name.milestone { color: var(--success); }
.event.error { stroke: var(--failure); } .name.error { color: var(--failure); }
.y, .x { position: absolute; font-size: 11.5px; color: var(--soft); }
.y { right: 100%; margin-right: 8px; transform: translateY(50%); }
.x { top: 100%; margin-top: 4px; transform: translateX(-50%); white-space: nowrap; }
.name { position: absolute; font-size: 11px; color: var(--soft); padding: 0 4px;
  line-height: 1.3; white-space: nowrap; top: calc(2px + 15px * var(--level)); }
.name.turned { transform: translateX(-100%); }
.name.narrow { display: none; }
.cursor { position: absolute; top: 0; bottom: 0; width: 1px; background: var(--soft); }
.dot { position: absolute; width: 9px; height: 9px; margin: 0 0 -4.5px -4.5px; border-radius: 50%;
  background: var(--own); box-shadow: 0 0 0 2px var(--card); pointer-events: none; }
.cursor, .dot { display: none; }
.chart.on .cursor, .chart.on .dot { display: block; }
.read { width: auto; min-width: 0; margin: 0 0 0 38px; font-size: 13px; }
.read th, .read td { padding: 1px 18px 1px 0; border: 0; text-align: right; white-space: nowrap;
  min-width: 76px; }
.read th:first-child { text-align: left; min-width: 168px; color: var(--ink); font-weight: 600;
  max-width: 240px; overflow: hidden; text-overflow: ellipsis; }
.read thead th { font-size: 12px; font-weight: 500; }
.read tbody tr:hover { background: none; }
.read tbody th { position: relative; padding-left: 14px; }
.read tbody th::before { content: ""; position: absolute; left: 0; top: .55em; width: 8px;
  height: 8px; border-radius: 50%; background: var(--own); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13px; color: var(--soft);
  margin: 0 0 16px; }
.legend span::before {
  content: ""; display: inline-block; width: 22px; vertical-align: middle; margin-right: 7px;
  border-top: 2.5px solid var(--own, currentColor); border-radius: 2px;
}
.legend .t::before { border-top: 1.5px dashed var(--limit); border-radius: 0; }
.legend .f::before { border-top: 8px solid color-mix(in srgb, var(--failure) 30%, transparent); }
.legend .h::before { border-top: 12px solid color-mix(in srgb, var(--human) 18%, transparent); }
.legend .m::before { width: 0; height: 14px; border: 0; border-radius: 0;
  border-left: 1.5px dashed var(--success); }
.legend .e::before { width: 0; height: 14px; border: 0; border-radius: 0;
  border-left: 1.5px dashed var(--failure); }
.strip { color: var(--soft); font-size: 12.5px; margin: 0 0 3px 38px; }
.picture { width: 100%; display: block; border-radius: 12px; border: 1px solid var(--line); }
.scroll { overflow-x: auto; }
.wide th { white-space: nowrap; text-align: right; vertical-align: bottom; }
.wide td { padding: 4px 14px; } .wide td:first-child { white-space: normal; }
.wide .section td { padding-top: 14px; font-weight: 600; border-bottom-color: var(--soft); }
.wide td.sub { padding-left: 32px; color: var(--soft); }
.theirs, .ours, .result small { display: block; }
.theirs, .result small { color: var(--soft); font-size: 12px; } .ours { font-size: 13.5px; }
.result .wide th { white-space: normal; } .result .wide :is(th, td) { padding: 4px 7px; }
.result .wide td:first-child { min-width: 100px; font-size: 13.5px; }
.result details { margin-top: 14px; } .result td { vertical-align: top; }
summary { color: var(--soft); font-size: 13.5px; cursor: pointer; }
.result .picture { margin-top: 14px; } .result ul { font-size: 13.5px; margin: 4px 0 0; }
.notes { color: var(--soft); font-size: 13.5px; padding-left: 1.2em; max-width: 80ch; }
.none { color: var(--soft); margin: 4px 0 0; }
.warn { color: var(--limit); font-size: 13.5px; margin: 8px 0 0 38px; padding: 0;
  list-style: none; overflow-wrap: anywhere; }
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
  .strip, .warn { margin-left: 0; }
  .read { margin-left: 0; width: 100%; }
  .read { table-layout: fixed; font-size: 12px; }
  .read th, .read td { min-width: 0; padding-right: 0; }
  .read th:first-child { min-width: 0; width: 33%; overflow-wrap: anywhere; white-space: normal; }
  .read thead th { font-size: 11.5px; }
  .read th:nth-child(2) { width: 16%; } .read th:nth-child(4) { width: 21%; }
  .wide table { min-width: 0; font-size: 13px; } .wide td { padding: 4px 8px; }
  .wide td:first-child { position: sticky; left: 0; background: var(--card); min-width: 118px; }
  .wide td.sub { padding-left: 18px; }
  .scroll .picture { width: 1000px; }
  .name.narrow { display: inline; } .name.wide { display: none; }
  .episodes { max-height: 420px; }
}
@media print { .bar, .theme { display: none; } .episodes { max-height: none; }
  .card { break-inside: avoid; box-shadow: none; } }
"""
