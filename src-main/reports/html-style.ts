/**
 * The style sheet of the HTML report: system fonts, light and dark by the reader's preference, always light on paper.
 */

import { resultTones } from '#contract/sweep.ts';

const light = `
--page: #ffffff; --ink: #16202c; --soft: #5a6877; --line: #d9e0e7; --panel: #f5f7f9; --accent: #1d5fb8; --band: #1d5fb81a;
--s0: #475569; --s1: #9a3412; --s2: #2f62f0; --s3: #0a8a4a; --s4: #b08b08; --s5: #0599c6; --s6: #d4568f; --s7: #5b21b6;
--better: #c9ead8; --even: #eef1f4; --loss-1: #fdf0dc; --loss-2: #fbd9b0; --loss-3: #f5b09b; --loss-4: #e8847a;
--correct: #2f9e6e; --incorrect: #cf5147; --unparsed: #8b98a5; --truncated: #dca02c; --bar-ink: #10161d;
--good-ink: #0b6b47; --good-page: #dff3e9; --bad-ink: #a02a20; --bad-page: #fbe5e2; --even-ink: #44515e; --even-page: #e8ecf0;`;

const dark = `
--page: #12171d; --ink: #e4e9ee; --soft: #98a5b3; --line: #2c353f; --panel: #1a2128; --accent: #79b0f5; --band: #79b0f526;
--s0: #a9b4c1; --s1: #f08a2c; --s2: #4f94fb; --s3: #35e0a0; --s4: #fbd83c; --s5: #8aeeff; --s6: #f0487a; --s7: #a97be0;
--better: #1b4a35; --even: #232b34; --loss-1: #3a2d14; --loss-2: #573a14; --loss-3: #6a3124; --loss-4: #872f29;
--correct: #3fae7f; --incorrect: #dd6a60; --unparsed: #7c8996; --truncated: #e0ab45; --bar-ink: #0d1217;
--good-ink: #7fe0b4; --good-page: #17362a; --bad-ink: #ff9f96; --bad-page: #42201d; --even-ink: #b8c3ce; --even-page: #28313a;`;

const series = [0, 1, 2, 3, 4, 5, 6, 7]
  .map(
    (n) =>
      `.marker.series-${n}{fill:var(--s${n})}.marker.series-${n}.hollow{fill:var(--page);stroke:var(--s${n});stroke-width:2}.whisker.series-${n}{stroke:var(--s${n})}`,
  )
  .join('\n');
const tones = resultTones.map((tone) => `.matrix .${tone},.tones .${tone}{background:var(--${tone})}`).join('\n');
const verdicts = ['correct', 'incorrect', 'unparsed', 'truncated'].map((name) => `.verdict-${name}{fill:var(--${name})}`).join('\n');

export const reportStyle = `
:root{color-scheme:light dark;${light}}
@media (prefers-color-scheme:dark){:root{${dark}}}
@media print{:root{color-scheme:light;${light}}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1160px;margin:0 auto;padding:40px 32px 72px}
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
.trend.whisker.hollow{stroke-dasharray:5 4}
.faint{fill:var(--soft);opacity:.3}
.chart .panel-title{font-weight:600;font-size:14px}
.matrix{width:auto}
.matrix th,.matrix td{text-align:center;white-space:nowrap;padding:4px 7px;line-height:1.3;font-size:12.5px;border:2px solid var(--page)}
.matrix thead th{background:var(--panel)}
.matrix tbody th{text-align:left;color:var(--ink);font-size:13.5px;padding-left:0}
.matrix .open{color:var(--soft)}
.matrix td small{color:var(--ink);opacity:.75;font-size:11px}
.tones{display:flex;flex-wrap:wrap;gap:4px 18px;max-width:none;color:var(--soft);font-size:13px}
.tones i{display:inline-block;width:14px;height:14px;margin-right:6px;border-radius:3px;vertical-align:-2px;border:1px solid var(--line)}
td.loads{min-width:150px;font-size:12.5px}
${tones}
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
figure,.sample,.findings li,tr{break-inside:avoid}tr.is-baseline td,.badge,.matrix td,.tones i,.sample header{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
`;
