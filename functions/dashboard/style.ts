/** The one stylesheet, and the hash by which the content security policy lets it through. */
import { createHash } from 'node:crypto'

export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #f4f6f8; --card: #fff; --line: #dce2e8; --text: #16202a; --soft: #566472; --link: #0b5cad;
  --good: #0f6b3a; --good-back: #e0f4e8; --bad: #a8201a; --bad-back: #fce8e6; --warn: #7a4d00; --warn-back: #fdf0d2;
  --busy: #0b5cad; --busy-back: #e2effc; --calm: #4c5a67; --calm-back: #e9edf1;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f151b; --card: #171f27; --line: #2b3640; --text: #e7edf2; --soft: #9daab6; --link: #7db8f5;
    --good: #7fd8a4; --good-back: #12341f; --bad: #ff9f98; --bad-back: #43191a; --warn: #f2c76b; --warn-back: #3a2c0c;
    --busy: #8fc3f8; --busy-back: #13304d; --calm: #b3bfca; --calm-back: #27323c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.25rem; max-width: 88rem; background: var(--page); color: var(--text);
  font: 0.9375rem/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; overflow-wrap: break-word;
}
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 3px; }
header { display: flex; flex-wrap: wrap; align-items: baseline; justify-content: space-between; gap: 0 1rem; }
h1 { margin: 0; font-size: 1.5rem; letter-spacing: -0.02em; }
h1 a { color: inherit; }
h2 { margin: 2rem 0 0.6rem; font-size: 1.0625rem; }
h2 small { margin-left: 0.4rem; font-weight: 400; color: var(--soft); }
p { margin: 0.6rem 0; }
small, .soft { color: var(--soft); font-size: 0.8125rem; }
code { font: 0.8125rem/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; }
.notice { padding: 0.6rem 0.9rem; border-radius: 0.5rem; background: var(--warn-back); color: var(--warn); }
.tiles { display: grid; grid-template-columns: repeat(6, minmax(0, 1fr)); gap: 0.75rem; margin: 1rem 0 0; }
.tiles div { padding: 0.75rem 0.9rem; border: 1px solid var(--line); border-radius: 0.6rem; background: var(--card); }
.tiles dt { color: var(--soft); font-size: 0.8125rem; }
.tiles dd { margin: 0; }
.tiles .figure { font-size: 1.5rem; line-height: 1.3; font-weight: 600; letter-spacing: -0.02em; font-variant-numeric: tabular-nums; }
.tiles .alarm .figure { color: var(--bad); }
table {
  width: 100%; border: 1px solid var(--line); border-radius: 0.6rem; border-spacing: 0; background: var(--card); overflow: hidden;
}
th, td { padding: 0.5rem 0.8rem; text-align: left; vertical-align: top; }
th { color: var(--soft); font-size: 0.8125rem; font-weight: 500; white-space: nowrap; }
tbody td { border-top: 1px solid var(--line); }
.number, .time { text-align: right; font-variant-numeric: tabular-nums; }
.number, time span { white-space: nowrap; }
.job, .why { overflow-wrap: anywhere; }
.job { min-width: 13rem; }
.why { min-width: 12rem; }
.job a:first-of-type { font-weight: 600; }
.job span a:first-of-type { font-weight: 400; }
.job span, .runner span, .why .soft { display: block; }
.why .badge + .soft { margin-top: 0.15rem; }
.runner code { white-space: nowrap; }
.runner { min-width: 10.5rem; }
.runner span { color: var(--soft); font-size: 0.8125rem; }
.labels code { margin-right: 0.35rem; color: var(--soft); }
.badge {
  display: inline-block; padding: 0.05rem 0.55rem; border-radius: 1rem; font-size: 0.8125rem; white-space: nowrap;
  color: var(--calm); background: var(--calm-back);
}
.badge.good { color: var(--good); background: var(--good-back); }
.badge.bad { color: var(--bad); background: var(--bad-back); }
.badge.warn { color: var(--warn); background: var(--warn-back); }
.badge.busy { color: var(--busy); background: var(--busy-back); }
.empty { padding: 0.9rem; border: 1px dashed var(--line); border-radius: 0.6rem; color: var(--soft); }
button, .button {
  display: inline-block; padding: 0.45rem 0.9rem; border: 1px solid var(--line); border-radius: 0.5rem; background: var(--card);
  color: var(--link); font: inherit; cursor: pointer;
}
form.viewer { margin: 0; }
footer { margin-top: 2rem; color: var(--soft); font-size: 0.8125rem; }
@media (max-width: 84rem) {
  th, td { padding: 0.5rem 0.6rem; }
}
@media (max-width: 72rem) {
  body { padding: 1rem; }
  .tiles { grid-template-columns: repeat(3, minmax(0, 1fr)); }
  table, tbody, tr, td { display: block; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table { border: 0; background: none; border-radius: 0; overflow: visible; }
  tr { margin-bottom: 0.6rem; padding: 0.4rem 0.8rem; border: 1px solid var(--line); border-radius: 0.6rem; background: var(--card); }
  tbody td { display: grid; grid-template-columns: 7rem minmax(0, 1fr); gap: 0.6rem; padding: 0.2rem 0; border: 0; }
  tbody td::before { content: attr(data-label); color: var(--soft); font-size: 0.8125rem; }
  tbody td.why, tbody td.runner { min-width: 0; }
  tbody td.job { display: block; min-width: 0; padding-bottom: 0.3rem; }
  tbody td.job::before { content: none; }
  tbody td.none { display: none; }
  .number, .time { text-align: left; white-space: normal; }
  .runner code { white-space: normal; overflow-wrap: anywhere; }
}
@media (max-width: 36rem) {
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0.5rem; }
}
`

export const STYLE_HASH = `sha256-${createHash('sha256').update(STYLE).digest('base64')}`
