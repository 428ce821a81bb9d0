/**
 * The style sheet of the HTML report: system fonts, light and dark by the reader's preference, always light on paper.
 */

const light = `
--page: #ffffff; --ink: #16202c; --soft: #5a6877; --line: #d9e0e7; --panel: #f5f7f9; --accent: #1d5fb8; --band: #1d5fb81a;
--s0: #3d4a58; --s1: #c2570c; --s2: #1d5fb8; --s3: #0f7d63; --s4: #8a3fc4; --s5: #a8860a; --s6: #b8326a;
--correct: #2f9e6e; --incorrect: #cf5147; --unparsed: #8b98a5; --truncated: #dca02c; --bar-ink: #10161d;
--good-ink: #0b6b47; --good-page: #dff3e9; --bad-ink: #a02a20; --bad-page: #fbe5e2; --even-ink: #44515e; --even-page: #e8ecf0;`;

const dark = `
--page: #12171d; --ink: #e4e9ee; --soft: #98a5b3; --line: #2c353f; --panel: #1a2128; --accent: #79b0f5; --band: #79b0f526;
--s0: #c3ccd6; --s1: #f39a4f; --s2: #79b0f5; --s3: #4cc9a4; --s4: #c592f2; --s5: #e0c04a; --s6: #f084b0;
--correct: #3fae7f; --incorrect: #dd6a60; --unparsed: #7c8996; --truncated: #e0ab45; --bar-ink: #0d1217;
--good-ink: #7fe0b4; --good-page: #17362a; --bad-ink: #ff9f96; --bad-page: #42201d; --even-ink: #b8c3ce; --even-page: #28313a;`;

const series = [0, 1, 2, 3, 4, 5, 6]
  .map((n) => `.marker.series-${n}{fill:var(--s${n})}.whisker.series-${n}{stroke:var(--s${n})}`)
  .join('\n');
const verdicts = ['correct', 'incorrect', 'unparsed', 'truncated'].map((name) => `.verdict-${name}{fill:var(--${name})}`).join('\n');

export const reportStyle = `
:root{color-scheme:light dark;${light}}
@media (prefers-color-scheme:dark){:root{${dark}}}
@media print{:root{color-scheme:light;${light}}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1080px;margin:0 auto;padding:40px 32px 72px}
h1{font-size:30px;line-height:1.2;letter-spacing:-.01em;margin:4px 0 8px}
h2{font-size:20px;margin:52px 0 12px;padding-top:14px;border-top:1px solid var(--line)}
h3{font-size:15px;margin:26px 0 6px}
p{margin:8px 0;max-width:78ch}
a{color:var(--accent)}
.kicker{margin:0;color:var(--soft);font-size:13px}
.facts{display:flex;flex-wrap:wrap;gap:4px 28px;margin:14px 0 0;padding:0;list-style:none;color:var(--soft);font-size:13.5px}
.facts strong{color:var(--ink);font-weight:600}
.findings{margin:30px 0 0;padding:0;list-style:none;border-bottom:1px solid var(--line)}
.findings li{display:grid;grid-template-columns:minmax(0,5fr) minmax(0,8fr);gap:4px 32px;padding:14px 0;border-top:1px solid var(--line)}
.findings strong{font-size:16px;line-height:1.4}
.findings span{color:var(--soft);line-height:1.5}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13.5px;font-variant-numeric:tabular-nums}
th,td{padding:7px 10px;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;color:var(--soft);font-size:12.5px;white-space:nowrap;vertical-align:bottom}
th:first-child,td:first-child{padding-left:0}
td.number,th.number{text-align:right;white-space:nowrap}
td.name{font-weight:600;min-width:118px;max-width:240px;overflow-wrap:break-word}
td small,th small{display:block;color:var(--soft);font-weight:400;font-size:12px}
tr.is-baseline td{background:var(--panel)}
tr.is-baseline td:first-child{padding-left:8px}
.badge{display:inline-block;border-radius:4px;padding:1px 8px;font-size:12.5px;white-space:nowrap;color:var(--even-ink);background:var(--even-page)}
.badge.better,.badge.correct{color:var(--good-ink);background:var(--good-page)}
.badge.worse,.badge.incorrect,.badge.failed{color:var(--bad-ink);background:var(--bad-page)}
figure{margin:18px 0 0}
figcaption{display:block;color:var(--soft);font-size:13px;margin-top:6px;max-width:90ch}
.panels{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:8px 32px}
.panels h3{margin:14px 0 0}
.chart{display:block;width:100%;height:auto;font:12.5px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif}
.chart text{fill:var(--ink)}
.chart .tick,.chart .label,.chart .legend{fill:var(--soft)}
.chart .point-label{font-weight:600;font-size:12px}
.chart .bar-label{fill:var(--bar-ink);font-size:11.5px}
.grid{stroke:var(--line);stroke-width:1}
.axis{stroke:var(--soft);stroke-width:1}
.guide{stroke:var(--line);stroke-width:1;stroke-dasharray:3 3}
.band{fill:var(--band)}
.baseline{stroke:var(--s0);stroke-width:1.3;stroke-dasharray:6 4}
.whisker{stroke-width:1.8}
.trend.whisker{fill:none;stroke-width:1.2;opacity:.45}
.marker{stroke:var(--page);stroke-width:1}
${series}
${verdicts}
pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
code,td.hash{font:12.5px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
.sample{margin:20px 0 0;border:1px solid var(--line);border-radius:6px;overflow:hidden}
.sample header{padding:12px 16px;background:var(--panel);border-bottom:1px solid var(--line)}
.sample header p{margin:0;color:var(--soft);font-size:13px}
.sample header pre{margin-top:6px}
.sample footer{margin:0;padding:8px 16px;border-top:1px solid var(--line);line-height:2.1}
.sample footer span.other{margin-right:14px;white-space:nowrap}
.completions{display:grid;grid-template-columns:repeat(auto-fit,minmax(230px,1fr))}
.completion{padding:12px 16px;border-right:1px solid var(--line);border-bottom:1px solid var(--line);margin:0 -1px -1px 0}
.completion h4{margin:0 0 8px;font-size:13.5px;display:flex;gap:8px;justify-content:space-between;align-items:baseline}
dl{display:grid;grid-template-columns:minmax(150px,max-content) 1fr;gap:5px 22px;margin:12px 0;font-size:14px}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere;white-space:pre-wrap}
ul.plain{margin:8px 0;padding-left:20px;max-width:90ch}
ul.lineage{max-width:none}
ul.plain li{margin:5px 0;overflow-wrap:anywhere}
footer{margin-top:56px;padding-top:14px;border-top:1px solid var(--line);color:var(--soft);font-size:13px}
@media screen and (max-width:720px){main{padding:24px 16px 48px}.panels,.findings li{grid-template-columns:1fr}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:8px}}
@page{margin:14mm 12mm}
@media print{main{max-width:none;padding:0}body{font-size:11pt}h2{break-after:avoid;margin-top:28px}.scroll{overflow:visible}table{font-size:8pt}th,td{padding:3px 4px}th{font-size:7.5pt;white-space:normal}td small,th small{font-size:6.8pt}
td.name{min-width:0;max-width:none}.badge{font-size:7.5pt;padding:0 5px}td.hash,code{font-size:7pt}pre{font-size:8pt}
figure,.sample,.findings li,tr{break-inside:avoid}tr.is-baseline td,.badge,.sample header{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
`;
