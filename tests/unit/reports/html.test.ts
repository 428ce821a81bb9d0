import { describe, expect, it } from 'vitest';
import { methodsTitle } from '#contract/comparison.ts';
import { resultTone, schemeMatrix } from '#contract/sweep.ts';
import { seriesClasses } from '../../../src-main/reports/charts/series.ts';
import { margin, percent, points } from '../../../src-main/reports/format.ts';
import { buildComparison, findings, renderReport } from '../../../src-main/reports/index.ts';
import { escapeMarkup, markup } from '../../../src-main/reports/markup.ts';
import { benchmarkNames, fakeSamples, fakeStudy } from './fake-study.ts';
import { elementsNamed, parseMarkup, textOf } from './parse-markup.ts';

const comparison = buildComparison(fakeStudy());
const html = renderReport(comparison, 'html', { samples: fakeSamples() });
const page = parseMarkup(html);
const hostile = `<script>alert(1)</script>"'&]]>{{x}}</style><img src=x onerror=alert(1)>\u0000\ud800 `;

describe('HTML report', () => {
  it('is well-formed and has one of each part', () => {
    const headings = elementsNamed(page, 'h2').map(textOf);
    expect(headings).toEqual([
      'Results',
      'Methods and schemes',
      'Accuracy against size',
      'Benchmark by benchmark',
      'How completions ended',
      'How reasoning fails',
      'What this study could have seen',
      'Sample completions',
      'Protocol',
      'Models and data',
      'Hardware and versions',
      'Lineage',
      'Notes',
      'How the numbers are computed',
    ]);
    expect(elementsNamed(page, 'h1').map(textOf)).toEqual(['First study']);
  });

  it('needs nothing from outside and runs nothing', () => {
    for (const name of ['script', 'link', 'img', 'iframe', 'object', 'a', 'form']) expect(elementsNamed(page, name)).toEqual([]);
    const policy = elementsNamed(page, 'meta').map((meta) => meta.attributes.content);
    expect(policy).toContain("default-src 'none'; style-src 'unsafe-inline'");
    expect(html).not.toMatch(/\b(?:src|href|on\w+|action)\s*=/);
    expect(html).not.toMatch(/url\(|@import/);
    expect(html.match(/https?:\/\/[^"]+/g)?.every((address) => address === 'http://www.w3.org/2000/svg')).toBe(true);
  });

  it('shows the numbers of the comparison', () => {
    const results = elementsNamed(elementsNamed(page, 'table')[0]!, 'tr').slice(1).map(textOf);
    expect(results).toHaveLength(comparison.rows.length);
    for (const [index, row] of comparison.rows.entries()) {
      expect(results[index]).toContain(row.name);
      expect(results[index]).toContain(percent(row.average!.value));
      if (row.drop) expect(results[index]).toContain(`${points(-row.drop.value)}${points(-row.drop.high)} … ${points(-row.drop.low)}`);
    }
    const text = textOf(page).replaceAll('\u00a0', ' ');
    for (const finding of findings(comparison)) expect(text).toContain(finding.text);
    for (const name of benchmarkNames) expect(text).toContain(`${name}, accuracy in %`);
    expect(text).toContain('b'.repeat(64));
    expect(text).toContain('c'.repeat(64));
    expect(text).toContain('Example CPU, 2 cores');
    expect(text).toContain('Damping was raised');
  });

  it('draws every run in every chart, inside the picture', () => {
    const charts = elementsNamed(page, 'svg');
    expect(charts).toHaveLength(2 + benchmarkNames.length);
    for (const chart of charts) {
      const [, , width, height] = chart.attributes.viewBox!.split(' ').map(Number);
      expect(elementsNamed(chart, 'g').length).toBeGreaterThanOrEqual(comparison.rows.length);
      for (const element of elementsNamed(chart, 'text')) {
        expect(Number(element.attributes.x)).toBeGreaterThanOrEqual(0);
        expect(Number(element.attributes.x)).toBeLessThanOrEqual(width!);
        expect(Number(element.attributes.y)).toBeLessThanOrEqual(height!);
      }
    }
    expect(html).not.toMatch(/NaN|Infinity|undefined|\[object/);
  });

  it('places points where their numbers say', () => {
    const [chart] = elementsNamed(page, 'svg');
    const ticks = elementsNamed(chart!, 'text').filter(
      (element) => element.attributes.class === 'tick' && element.attributes['text-anchor'] === 'end',
    );
    const [first, last] = [ticks[0]!, ticks.at(-1)!];
    const perPercent = (Number(last.attributes.y) - Number(first.attributes.y)) / (Number(textOf(last)) - Number(textOf(first)));
    const expected = (share: number) => Number(first.attributes.y) - 4 + (100 * share - Number(textOf(first))) * perPercent;
    const circles = elementsNamed(chart!, 'g').flatMap((group) => elementsNamed(group, 'circle'));
    const rows = comparison.rows.filter((row) => row.method === 'rtn');
    expect(circles).toHaveLength(rows.length);
    for (const [index, row] of rows.entries()) expect(Number(circles[index]!.attributes.cy)).toBeCloseTo(expected(row.average!.value), 0);
  });

  it('shows samples side by side with their verdicts', () => {
    const articles = elementsNamed(page, 'article');
    expect(articles.map((article) => elementsNamed(article, 'h4').map(textOf))).toEqual([
      ['baselinecorrect', 'GPTQ W2G32correct', 'RTN W2G32truncated', 'RTN W2G128unparsed'],
      ['baselineincorrect', 'GPTQ W2G32correct'],
    ]);
    expect(textOf(articles[0]!)).toContain('\\boxed{1081}');
    expect(elementsNamed(articles[0]!, 'footer').map(textOf)).toEqual(['Not shown: GPTQ W3G128 correctRTN W3G128 incorrect']);
    const long = fakeSamples().map((sample) => ({ ...sample, completion: 'x'.repeat(5000) }));
    expect(renderReport(comparison, 'html', { samples: long })).toContain('… (3400 more characters)');
  });

  it('lets hostile names and completions become nothing but text', () => {
    const input = fakeStudy({ prefix: hostile });
    const report = renderReport(buildComparison(input), 'html', { samples: fakeSamples(hostile) });
    const parsed = parseMarkup(report);
    expect(elementsNamed(parsed, 'script')).toEqual([]);
    expect(elementsNamed(parsed, 'img')).toEqual([]);
    expect(elementsNamed(parsed, 'style')).toHaveLength(1);
    expect(textOf(elementsNamed(parsed, 'h1')[0]!)).toContain('<script>alert(1)</script>');
    expect(report.isWellFormed()).toBe(true);
    expect(report).not.toContain('\u0000');
  });

  it('is honest about unfinished studies and renders empty ones', () => {
    const partial = buildComparison(fakeStudy({ pending: ['GPTQ W2G32'] }));
    expect(textOf(parseMarkup(renderReport(partial, 'html')))).toContain('8 of 9 runs finished');
    const empty = renderReport(buildComparison({ ...fakeStudy(), runs: [], samples: [] }), 'html');
    expect(textOf(parseMarkup(empty))).toContain('Nothing has been measured yet.');
    expect(empty).not.toMatch(/NaN|Infinity|undefined/);
  });

  it('heads each part with the model when there are several', () => {
    const input = fakeStudy({ problems: 10 });
    const models = [...input.models, { ...input.models[0]!, id: 2, name: 'Other model' }];
    const runs = [...input.runs, ...input.runs.map((run) => ({ ...run, id: `b-${run.id}`, modelId: 2 }))];
    const samples = [...input.samples].flatMap((sample) => [sample, [`b-${sample[0]}`, ...sample.slice(1)] as unknown as typeof sample]);
    const parsed = parseMarkup(renderReport(buildComparison({ ...input, models, runs, samples }), 'html'));
    expect(
      elementsNamed(parsed, 'h3')
        .map(textOf)
        .filter((text) => text === 'Other model'),
    ).toHaveLength(3);
    expect(elementsNamed(parsed, 'svg')).toHaveLength(2 * 6 + 1);
  });
});

describe('HTML report of a sweep over all methods', () => {
  const sweep = buildComparison(fakeStudy({ wide: true, problems: 40 }));
  const report = renderReport(sweep, 'html');
  const parsed = parseMarkup(report);
  const variants = sweep.rows.filter((row) => !row.isBaseline);

  it('shows every run once in the matrix, under its scheme and beside its method', () => {
    const matrix = elementsNamed(parsed, 'table').find((table) => table.attributes.class === 'matrix')!;
    const [, schemes, ...lines] = elementsNamed(matrix, 'tr').map((line) =>
      [...line.children].filter((child) => typeof child !== 'string'),
    );
    const columns = schemes!.map((head) => head.attributes.title!);
    expect(columns).toEqual(schemeMatrix(sweep.rows).columns);
    expect(lines.map((line) => textOf(line[0]!))).toEqual(['RTN', 'GPTQ', 'AWQ', 'NF4', 'INT8', 'QuaRot', 'FlatQuant']);
    let shown = 0;
    for (const [title, ...cells] of lines) {
      for (const [index, cell] of cells.entries()) {
        if (textOf(cell) === '') continue;
        const row = variants.find((item) => methodsTitle(item.method) === textOf(title!) && item.scheme === columns[index])!;
        expect(textOf(cell)).toBe(`${percent(row.average!.value)}±${margin(row.average!)}`);
        expect(cell.attributes.class).toBe(resultTone(row));
        shown += 1;
      }
    }
    expect(shown).toBe(variants.length);
  });

  it('draws a panel per method, each with its own runs and the others faint', () => {
    const panels = elementsNamed(parsed, 'svg').filter((chart) => chart.attributes['aria-label']!.includes('checkpoint size'));
    expect(panels).toHaveLength(7);
    for (const chart of panels) {
      const method = /: (.+)$/.exec(chart.attributes['aria-label']!)![1];
      const own = variants.filter((row) => methodsTitle(row.method) === method);
      expect(elementsNamed(chart, 'g')).toHaveLength(own.length);
      const faint = elementsNamed(chart, 'circle').filter((circle) => circle.attributes.class === 'faint');
      expect(faint).toHaveLength(variants.length - own.length);
    }
  });

  it('gives each method a colour of its own and says where variants load', () => {
    const classes = seriesClasses(sweep.rows);
    expect(new Set(classes.values()).size).toBe(8);
    const text = textOf(parsed);
    expect(text).toContain('QuaRot W4A4KV4');
    expect(text).toContain('Roundoff only');
    expect(text).toMatch(/Calibration of GPTQ, AWQ, QuaRot, FlatQuant: 128 samples of 256 tokens from text of the domain “maths”/);
    expect(report).not.toMatch(/NaN|Infinity|undefined|\[object/);
  });
});

describe('markup', () => {
  it('escapes values, keeps markup, joins lists and drops absent values', () => {
    const inner = markup`<b>${'<'}</b>`;
    expect(markup`<p title="${'"'}">${[inner, ' & ', 3]}${null}${undefined}${false}</p>`.text).toBe(
      '<p title="&quot;"><b>&lt;</b> &amp; 3</p>',
    );
    expect(escapeMarkup("a\u0007b\ud800'\n")).toBe('a\ufffdb\ufffd&#39;\n');
  });
});
