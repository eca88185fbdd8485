"""The look of the report: one style sheet for light, dark and print, and the mark at its head."""

from __future__ import annotations

MARK = (
    '<svg class="mark" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8"/>'
    '<path d="M9 7v18M16 7v18M23 7v18"/><circle cx="9" cy="13" r="3"/><circle cx="16" cy="20" r="3"/>'
    '<circle cx="23" cy="11" r="3"/></svg>'
)

STYLE = """
:root{--bg:#f4f7f7;--card:#fff;--text:#101c22;--dim:#55656c;--line:#dbe2e3;--accent:#0b6e69;--good:#14663b;
--good-bg:#e2f4e9;--bad:#a32a23;--bad-bg:#fce8e6;--even:#7a4a05;--even-bg:#fdf0dc;--code:#f5f7f7}
@media (prefers-color-scheme:dark){:root{--bg:#10171b;--card:#172026;--text:#e6edef;--dim:#a9b8be;--line:#2f3c42;
--accent:#5fd3c7;--good:#7ee0b0;--good-bg:#143526;--bad:#f8a49d;--bad-bg:#41201e;--even:#f6c27d;--even-bg:#3b2a10;--code:#1c272d}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--text);font:15px/1.55 "Source Sans 3","Segoe UI",system-ui,-apple-system,sans-serif}
main{max-width:1060px;margin:0 auto;padding:36px 24px 60px}
header{display:flex;gap:16px;align-items:center;margin-bottom:22px}
.mark{width:46px;height:46px;flex:none}.mark rect{fill:#0b6e69}.mark path{stroke:#fff;stroke-opacity:.55;stroke-width:2;fill:none}
.mark circle{fill:#fff}
h1{font-size:27px;line-height:1.2;margin:0;overflow-wrap:anywhere}
h2{font-size:18px;margin:0 0 10px}h3{font-size:16px;margin:20px 0 4px}h4{font-size:14px;margin:18px 0 4px}
.kicker{margin:0;color:var(--accent);font-weight:600;font-size:13px;overflow-wrap:anywhere}.sub,.fine{color:var(--dim);margin:2px 0;font-size:13.5px}
section,details{margin-bottom:16px}
.card,.tile{background:var(--card);border:1px solid var(--line);border-radius:12px}
.card{padding:18px 20px}
details.card>summary{cursor:pointer;list-style:none}details.card>summary h2{display:inline-block;margin:0}
details.card>summary::before{content:"▸";display:inline-block;width:1.2em;color:var(--dim)}details.card[open]>summary::before{content:"▾"}
details.card[open]>summary{margin-bottom:10px}
.rest{margin:0}.rest>summary{cursor:pointer;color:var(--accent);font-weight:600;font-size:14px;padding:8px 0 4px}
.verdict{border-radius:12px;padding:20px 22px}.verdict h2{font-size:23px;margin:0 0 4px}.said{font-size:17px;margin:0 0 6px}
.verdict.good{background:var(--good-bg)}.verdict.good h2{color:var(--good)}
.verdict.bad{background:var(--bad-bg)}.verdict.bad h2{color:var(--bad)}
.verdict.even{background:var(--even-bg)}.verdict.even h2{color:var(--even)}
.verdict .fine{color:inherit;opacity:.85}
.tiles{display:grid;grid-template-columns:repeat(3,1fr);gap:12px}
.tile{padding:12px 16px;display:flex;flex-direction:column}.tile span{color:var(--dim);font-size:13.5px}
.tile b{font-size:24px;font-weight:650;line-height:1.3}.tile small{color:var(--dim);min-height:1.3em}
svg{display:block;width:100%;height:auto}svg text{font-size:13px;fill:var(--dim)}
.grid{stroke:var(--line)}.base{stroke:var(--dim);stroke-dasharray:6 5;stroke-width:1.5}
.sofar{fill:none;stroke:var(--good);stroke-width:2.4}
.whole{fill:var(--accent)}.part{fill:var(--card);stroke:var(--accent);stroke-width:1.6}
circle.best{fill:var(--good);stroke:var(--card);stroke-width:2}
.zero{stroke:var(--dim);stroke-dasharray:3 3}.span{stroke-width:6;stroke-linecap:round}
.span.good,.dot.good{stroke:var(--good)}.span.bad,.dot.bad{stroke:var(--bad)}.span.even,.dot.even{stroke:var(--even)}
.dot{fill:var(--card);stroke-width:4}
.verdict svg{margin-top:6px}.verdict .grid{stroke:currentColor;stroke-opacity:.25}
.key{font-size:13px;color:var(--dim);margin:0 0 6px}.key i{display:inline-block;width:10px;height:10px;border-radius:50%;margin:0 5px 0 12px}
.key i:first-child{margin-left:0}.k-best{background:var(--good)}.k-whole{background:var(--accent)}
.k-part{border:1.6px solid var(--accent)}.key .k-sofar{border-radius:0;height:3px;width:18px;background:var(--good);vertical-align:3px}
.wide{overflow-x:auto}
table{width:100%;border-collapse:collapse;font-size:13.5px}
th{text-align:left;color:var(--dim);font-weight:600;padding:4px 14px 6px 0;white-space:nowrap}
td{vertical-align:top;padding:6px 14px 6px 0;border-top:1px solid var(--line);overflow-wrap:break-word;white-space:pre-wrap;max-width:34em}
td.good{color:var(--good);font-weight:600}td.bad{color:var(--bad);font-weight:600}
pre,.diff td{font:12.5px/1.55 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre-wrap;overflow-wrap:anywhere}
pre{background:var(--code);border-radius:8px;padding:10px 12px;margin:6px 0 0}
.diff{table-layout:fixed}.diff td,.diff th{padding:2px 10px;border:0}.diff td.del{background:var(--bad-bg)}.diff td.ins{background:var(--good-bg)}
.diff td+td,.diff th+th{border-left:1px solid var(--line)}
.diff del{color:var(--bad);text-decoration-thickness:1px}.diff ins{color:var(--good);text-decoration:none;font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 22px;margin:0;font-size:14px}dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}
footer{color:var(--dim);font-size:13px;margin-top:24px}
@media (max-width:720px){.tiles{grid-template-columns:1fr 1fr}}
@media print{body{background:#fff}main{max-width:none;padding:0}.card,.tile,.verdict{break-inside:avoid-page}
.verdict,.diff td,.tile,circle,.mark{-webkit-print-color-adjust:exact;print-color-adjust:exact}
.card:has(table){break-inside:auto}tr{break-inside:avoid}.wide{overflow:visible}}
"""
