import { describe, expect, it } from 'vitest';
import type { StudyComparison } from '#contract/comparison.ts';
import type { SampleRow } from '#contract/records.ts';
import { buildComparison, type ComparisonInput, renderReport, workbookReport } from '../../../src-main/reports/index.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { fakeSamples, fakeStudy } from './fake-study.ts';
import { type ReadSheet, readWorkbook } from './read-workbook.ts';
import { failedStudy, studyOfTwoModels } from './study-variants.ts';

const folder = temporaryFolder('workbook');

async function read(input: ComparisonInput, samples: readonly SampleRow[] = []) {
  const comparison = buildComparison(input);
  const sheets = await readWorkbook(await workbookReport(comparison, samples), folder);
  const sheet = (name: string) => sheets.find((each) => each.name === name)!;
  return { sheets, sheet, records: (name: string) => recordsOf(sheet(name)), rows: fromJson(comparison).rows };
}

/** The numbers that the JSON report has are the reference: cells must hold exactly those. */
const fromJson = (comparison: StudyComparison) =>
  (JSON.parse(renderReport(comparison, 'json')) as { comparison: StudyComparison }).comparison;

/** Lines by the titles of their columns; empty cells are null. */
function recordsOf({ cells: [header, ...lines] }: ReadSheet) {
  const titles = header!.map((cell) => String(cell!.value));
  expect(new Set(titles).size).toBe(titles.length);
  return lines.map((line) => Object.fromEntries(titles.map((title, column) => [title, line[column]?.value ?? null])));
}

const limitsOf = (interval: { value: number; low: number; high: number } | null) => [
  interval?.value ?? null,
  interval?.low ?? null,
  interval?.high ?? null,
];

describe('workbook report', () => {
  const report = read(fakeStudy(), fakeSamples());

  it('has a sheet for every part, its header and first column frozen, its columns wide enough to read', async () => {
    const { sheets } = await report;
    expect(sheets.map(({ name }) => name)).toEqual([
      'Comparison',
      'Paired tests',
      'Benchmarks',
      'Failures',
      'Runs',
      'Protocol',
      'Text',
      'Samples',
    ]);
    for (const { cells, frozen, widths } of sheets) {
      expect(frozen).toEqual({ lines: 1, columns: 1 });
      expect(widths).toHaveLength(cells[0]!.length);
      for (const width of widths) expect(width).toBeGreaterThanOrEqual(9);
    }
  });

  it('holds the very numbers of the JSON report, as numbers', async () => {
    const { records, rows } = await report;
    const compared = records('Comparison');
    expect(compared.map(({ run }) => run)).toEqual(rows.map(({ name }) => name));
    for (const [index, row] of rows.entries()) {
      const record = compared[index]!;
      const three = (title: string) => [record[title], record[`${title} low`], record[`${title} high`]];
      expect(three('average accuracy')).toEqual(limitsOf(row.average));
      const { drop } = row;
      expect(three('change')).toEqual(drop ? [0 - drop.value, 0 - drop.high, 0 - drop.low] : [null, null, null]);
      for (const { benchmark, accuracy } of row.benchmarks) expect(three(benchmark)).toEqual(limitsOf(accuracy));
      expect([record['size, bytes'], record['bits per weight'], record.recovery, record['p (Holm)']]).toEqual([
        row.sizeBytes,
        row.bitsPerWeight,
        row.recovery,
        row.dropTest?.holm ?? null,
      ]);
    }
    const paired = records('Paired tests');
    for (const row of rows) {
      const own = paired.filter(({ run }) => run === row.name);
      expect(own).toHaveLength(row.isBaseline ? 0 : row.benchmarks.length + 1);
      for (const { benchmark, versusBaseline } of row.benchmarks) {
        if (!versusBaseline) continue;
        const record = own.find((each) => each.benchmark === benchmark)!;
        const { value, low, high, gained, lost, verdict, test, bootstrap, disagreement } = versusBaseline;
        expect(record).toMatchObject({
          change: value,
          'change low': low,
          'change high': high,
          gained,
          lost,
          verdict,
          p: test.pValue,
          disagreement,
        });
        expect(record['bootstrap low']).toBe(bootstrap?.low ?? null);
      }
    }
    for (const record of records('Benchmarks')) {
      const result = rows.find(({ name }) => name === record.run)!.benchmarks.find(({ benchmark }) => benchmark === record.benchmark)!;
      const { accuracy, passAtK, verdicts, meanTokens } = result;
      expect(record).toMatchObject({
        accuracy: accuracy.value,
        'pass@k': passAtK!.value,
        k: 3,
        ...verdicts,
        'mean tokens': meanTokens,
        problems: 100,
      });
    }
    for (const record of records('Failures')) {
      const { failures } = rows
        .find(({ name }) => name === record.run)!
        .benchmarks.find(({ benchmark }) => benchmark === record.benchmark)!;
      expect(record).toMatchObject({ completions: 300, 'cut off': failures.cutOff, 'tokens p50': failures.length.p50 });
      expect(record['lost to truncated']).toBe(failures.change?.lostTo.truncated ?? null);
    }
  });

  it('shows shares in percent, changes with their sign, and other numbers in their units', async () => {
    const { sheet } = await report;
    const [header, , second] = sheet('Comparison').cells;
    const formats = new Map(header!.map((title, column) => [title!.value, second![column]?.format]));
    const of = ['average accuracy', 'change low', 'p', 'size, bytes', 'bits per weight', 'run'].map((title) => formats.get(title));
    expect(of).toEqual(['0.0%', '+0.0%;-0.0%;0.0%', '0.0000', '#,##0', '0.00', 'General']);
  });

  it('says what runs took, by which protocol, and how to read the figures', async () => {
    const { records, rows } = await report;
    expect(records('Runs').map((record) => record['time, seconds'])).toEqual(rows.map(({ elapsedMs }) => elapsedMs && elapsedMs / 1000));
    const protocol = records('Protocol');
    expect(protocol.find(({ name }) => name === 'seeds')!.value).toBe('42, 43, 44');
    expect(protocol.find(({ name }) => name === 'Abacus')!.sha256).toBe('c'.repeat(64));
    expect(protocol.find(({ name }) => name === 'abacus-sums, problems')!.value).toBe(100);
    expect(records('Text').some(({ text }) => String(text).includes('McNemar’s test'))).toBe(true);
  });

  it('holds completions, cut where a cell ends, and says which', async () => {
    const { records } = await report;
    expect(
      records('Samples')
        .slice(0, 8)
        .map(({ completion }) => completion),
    ).toEqual(fakeSamples().map(({ completion }) => completion));
    expect(records('Samples').at(-1)!.run).toMatch(/completions of 2 of the problems.*32,000/);
    const long = fakeSamples().map((sample) => ({ ...sample, completion: 'x'.repeat(40_000) }));
    const cut = (await read(fakeStudy({ problems: 2 }), long)).records('Samples')[0]!.completion;
    expect(cut).toBe(`${'x'.repeat(32_000)}… (8000 more characters)`);
    expect((await read(fakeStudy({ problems: 2 }))).sheet('Samples')).toBeUndefined();
  });
});

describe('workbook report of a study that is not as usual', () => {
  it.each(['=HYPERLINK("http://x","y")', '+1', '-2+3', '@SUM(A1)', '<b>&"\'\u0001]]>', '_x0041_ 中😀'])(
    'keeps a name that begins %s as text',
    async (prefix) => {
      const { sheet, records } = await read(fakeStudy({ prefix, problems: 3 }), fakeSamples(prefix));
      const cell = sheet('Comparison').cells[1]![0]!;
      expect(cell.value).toBe(`${prefix}baseline`.replace('\u0001', ''));
      expect(cell.format).toBe(/^[=+\-@]/.test(prefix) ? '@' : 'General');
      expect(records('Samples')[0]!.prompt).toContain('Mia packs 23 boxes');
    },
  );

  it('keeps names that objects have', async () => {
    const { runs, ...input } = fakeStudy({ problems: 2 });
    const names = ['constructor', 'toString', '__proto__', 'valueOf'];
    const { records } = await read({ ...input, runs: runs.slice(0, 4).map((run, index) => ({ ...run, name: names[index]! })) });
    expect(records('Runs').map(({ run }) => String(run).trimEnd())).toEqual(names);
  });

  it('has nothing but headers where nothing has been measured', async () => {
    const { sheets, records } = await read({ ...fakeStudy(), runs: [], samples: [] });
    expect(sheets.map(({ name }) => name)).toContain('Paired tests');
    for (const name of ['Comparison', 'Paired tests', 'Benchmarks', 'Failures', 'Runs']) expect(records(name)).toEqual([]);
  });

  it('leaves empty what failed runs do not have, and says why', async () => {
    const { records } = await read(failedStudy());
    const failed = records('Comparison').find(({ run }) => run === 'GPTQ W2G128')!;
    expect(failed).toMatchObject({ status: 'failed', 'average accuracy': null, change: null, 'abacus-sums': null });
    expect(records('Runs').find(({ run }) => run === 'GPTQ W2G128')!.notes).toContain('The disk filled up at 100%.');
    const half = records('Comparison').find(({ run }) => run === 'GPTQ W2G32')!;
    expect(half).toMatchObject({ status: 'interrupted', 'average accuracy': null, 'abacus-sums': expect.any(Number) });
  });

  it('names the model of every run, and has perplexities where texts are measured', async () => {
    expect(new Set((await read(studyOfTwoModels())).records('Comparison').map(({ model }) => model))).toEqual(
      new Set(['Abacus', 'Other model']),
    );
    const input = fakeStudy({ problems: 2 });
    const text = { name: 'wiki', path: 'wiki.txt', sha256: 'e'.repeat(64), problems: 0, kind: 'text' as const };
    const windows = (nats: number) =>
      new Map([['wiki', [0, 1, 2].map((window) => ({ benchmark: 'wiki', window, tokens: 10, nats: nats + window }))]]);
    const { records, rows } = await read({
      ...input,
      benchmarks: [...input.benchmarks, text],
      windows: new Map(input.runs.map(({ id }, index) => [id, windows(20 + index)])),
    });
    expect(records('Perplexity').map(({ perplexity, tokens }) => [perplexity, tokens])).toEqual(
      rows.map(({ perplexities: [result] }) => [result!.perplexity, result!.tokens]),
    );
  });
});
