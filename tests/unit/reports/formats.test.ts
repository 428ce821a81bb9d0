import { describe, expect, it } from 'vitest';
import { mcNemarTest } from '../../../src-main/engine/statistics/index.ts';
import { csvCell } from '../../../src-main/reports/csv-report.ts';
import { bytes, duration, percentInterval, points } from '../../../src-main/reports/format.ts';
import { buildComparison, renderReport, studyResolution } from '../../../src-main/reports/index.ts';
import { escapeMarkdown } from '../../../src-main/reports/markdown-report.ts';
import { fakeSamples, fakeStudy } from './fake-study.ts';

const comparison = buildComparison(fakeStudy());

/** RFC 4180: quoted fields may hold commas, quotes (doubled) and line ends. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  const field = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y;
  while (field.lastIndex < text.length) {
    const match = field.exec(text);
    if (!match) throw new Error('not RFC 4180');
    row.push(match[1] === undefined ? match[2]! : match[1].replaceAll('""', '"'));
    if (match[3] !== ',') {
      rows.push(row);
      row = [];
    }
  }
  return rows;
}

describe('CSV report', () => {
  const [header, ...rows] = parseCsv(renderReport(comparison, 'csv'));
  const records = rows.map((cells) => Object.fromEntries(header!.map((name, index) => [name, cells[index]!])));

  it('has a line per run and benchmark and one per average, all of one width', () => {
    expect(rows).toHaveLength(comparison.rows.length * 6);
    for (const cells of rows) expect(cells).toHaveLength(header!.length);
  });

  it('reads back as the comparison', () => {
    for (const row of comparison.rows) {
      const own = records.filter((record) => record.run_id === row.runId);
      const average = own.find((record) => record.benchmark === '(average)')!;
      expect(Number(average.accuracy)).toBeCloseTo(row.average!.value, 6);
      expect(average.change).toBe(row.drop ? String(Number((-row.drop.value).toFixed(6))) : '');
      for (const result of row.benchmarks) {
        const record = own.find((candidate) => candidate.benchmark === result.benchmark)!;
        expect(Number(record.accuracy)).toBeCloseTo(result.accuracy.value, 6);
        expect(Number(record.accuracy_low)).toBeCloseTo(result.accuracy.low, 6);
        expect(record.evaluation_seeds).toBe('42 43 44');
        expect(record.verdict).toBe(result.versusBaseline?.verdict ?? '');
        expect(Number(record.correct) + Number(record.incorrect) + Number(record.unparsed) + Number(record.truncated)).toBe(300);
      }
    }
  });

  it('has McNemar’s test on every line that is compared, and Holm’s correction on those of averages', () => {
    const input = fakeStudy();
    const single = { ...input, samples: [...input.samples].filter((sample) => sample[2] === 42) };
    const study = { ...input.study, protocol: { ...input.study.protocol, seeds: [42] } };
    const [names, ...lines] = parseCsv(renderReport(buildComparison({ ...single, study }), 'csv'));
    const found = lines.map((cells) => Object.fromEntries(names!.map((name, index) => [name, cells[index]!])));
    const tested = found.filter((record) => record.mcnemar_p !== '');
    expect(tested).toHaveLength(8 * 6);
    for (const { benchmark, gained, lost, mcnemar_p, holm_p } of tested) {
      if (benchmark === '(average)') {
        expect(Number(holm_p)).toBeGreaterThanOrEqual(Number(mcnemar_p));
        continue;
      }
      const pairs = [
        ...Array(Number(gained)).fill({ pairs: 1, gained: 1, lost: 0 }),
        ...Array(Number(lost)).fill({ pairs: 1, gained: 0, lost: 1 }),
      ];
      const { pValue } = mcNemarTest(pairs);
      expect(Number(mcnemar_p) / pValue).toBeCloseTo(1, 3);
      expect(holm_p).toBe('');
    }
  });

  it('says how completions ended, and how that differs from the baseline’s', () => {
    for (const row of comparison.rows) {
      for (const { benchmark, failures } of row.benchmarks) {
        const record = records.find((candidate) => candidate.run_id === row.runId && candidate.benchmark === benchmark)!;
        expect(Number(record.thinking_ended) + Number(record.truncated)).toBe(300);
        expect(record.tokens_p50).toBe(String(failures.length.p50));
        if (row.isBaseline) expect(record.lost_to_incorrect).toBe('');
        else
          expect(Number(record.lost_to_incorrect) + Number(record.lost_to_unparsed) + Number(record.lost_to_truncated)).toBe(
            Number(record.lost),
          );
      }
    }
  });

  it('guards against formulas and keeps hostile text in its cell', () => {
    expect(csvCell('=1+1')).toBe("'=1+1");
    expect(csvCell('@SUM(A1)')).toBe("'@SUM(A1)");
    expect(csvCell('-2+3')).toBe("'-2+3");
    expect(csvCell(-0.25)).toBe('-0.25');
    expect(csvCell('a "b", c')).toBe('"a ""b"", c"');
    const prefix = '=HYPERLINK("http://x","y")\r\n,';
    const parsed = parseCsv(renderReport(buildComparison(fakeStudy({ prefix, problems: 5 })), 'csv'));
    expect(new Set(parsed.map((cells) => cells.length))).toEqual(new Set([header!.length]));
    expect(parsed[1]![3]).toBe(`'${prefix}baseline`);
  });
});

describe('Markdown report', () => {
  it('has tables whose lines all have the header’s cells', () => {
    const hostile = buildComparison(fakeStudy({ prefix: 'a|b`<i>*\n', problems: 5 }));
    const lines = renderReport(hostile, 'md').split('\n');
    const cells = (line: string) => line.split(/(?<!\\)\|/).length;
    let width = 0;
    for (const [index, line] of lines.entries()) {
      if (!line.startsWith('|')) width = 0;
      else if (width === 0) width = cells(line);
      if (width > 0) expect([index, cells(line)]).toEqual([index, width]);
    }
    expect(lines.some((line) => line.includes('<i>'))).toBe(false);
  });

  it('shows results, protocol and hashes', () => {
    const text = renderReport(comparison, 'md');
    const row = comparison.rows.find((candidate) => candidate.name === 'GPTQ W2G32')!;
    expect(text).toContain(`| GPTQ W2G32 | Abacus | GPTQ | W2G32 | 444 kB | 2.56 | ${escapeMarkdown(percentInterval(row.average!))} |`);
    expect(text).toContain('| seeds | 42, 43, 44 |');
    expect(text).toContain('b'.repeat(64));
    expect(escapeMarkdown('<a> [x](y)\n# z')).toBe('&lt;a&gt; \\[x\\](y) \\# z');
  });
});

describe('JSON report', () => {
  it('is the comparison under a format name and version', () => {
    expect(JSON.parse(renderReport(comparison, 'json'))).toEqual({
      format: 'roundoff-comparison',
      version: 1,
      comparison,
      resolution: studyResolution(comparison),
    });
    expect(JSON.parse(renderReport(comparison, 'json', { samples: fakeSamples() })).samples).toEqual(fakeSamples());
  });
});

describe('number formats', () => {
  it('are those a reader expects', () => {
    expect([512, 999, 1000, 444_000, 999_499, 999_600, 1_606_912, 12_345_678, 1.5e9].map(bytes)).toEqual([
      '512 B',
      '999 B',
      '1.00 kB',
      '444 kB',
      '999 kB',
      '1.00 MB',
      '1.61 MB',
      '12.3 MB',
      '1.50 GB',
    ]);
    expect([310, 18_400, 185_000, 7_620_000].map(duration)).toEqual(['0.3 s', '18 s', '3 min 05 s', '2 h 07 min']);
    expect([0.012, -0.004, 0.0004, -0.0004].map(points)).toEqual(['+1.2', '−0.4', '0.0', '0.0']);
  });
});
