import { describe, expect, it } from 'vitest';
import type { ComparisonRow, StudyComparison } from '#contract/comparison.ts';
import { buildComparison, type ComparisonInput, renderReport, studyResolution } from '../../../src-main/reports/index.ts';
import { distinguishable, significanceMark } from '../../../src-main/reports/latex/result-tables.ts';
import { latexTables } from '../../../src-main/reports/latex/table.ts';
import { latexText } from '../../../src-main/reports/latex/text.ts';
import { fakeStudy } from './fake-study.ts';
import { checkLatex, type LatexTable, latexTablesOf, shownText } from './parse-latex.ts';
import { failedStudy, studyOfTwoModels } from './study-variants.ts';

/** The numbers that the JSON report has are the reference: the figures must be those. */
const fromJson = (comparison: StudyComparison) =>
  (JSON.parse(renderReport(comparison, 'json')) as { comparison: StudyComparison }).comparison;
const percent = (share: number) => (100 * share).toFixed(1);
const signed = (share: number) => (percent(Math.abs(share)) === '0.0' ? '0.0' : `${share < 0 ? '−' : '+'}${percent(Math.abs(share))}`);

function read(input: ComparisonInput) {
  const comparison = buildComparison(input);
  const source = renderReport(comparison, 'tex');
  const { preamble, body, environments } = checkLatex(source);
  const tables = latexTablesOf(environments);
  return { comparison, source, preamble, body, environments, tables, table: (part: string) => partsOf(tables, `study1-${part}`) };
}

/** The lines of all parts of a table, below the titles of its columns. */
function partsOf(tables: readonly LatexTable[], label: string): LatexTable[] {
  return tables.filter((table) => table.label === label || new RegExp(`^${label}-\\d+$`).test(table.label));
}

describe('LaTeX report', () => {
  const report = read(fakeStudy());
  const { rows } = fromJson(report.comparison);

  it('is a whole article of plain ASCII that asks only for packages of every installation', () => {
    expect(report.preamble).toMatch(/^% Made with Roundoff/);
    const packages = [...report.preamble.matchAll(/\\usepackage(?:\[[^\]]*\])?\{([^}]*)\}/g)].map(([, name]) => name!);
    expect(new Set(packages)).toEqual(new Set(['booktabs', 'fontenc', 'inputenc', 'textcomp', 'lmodern', 'geometry']));
    expect(report.preamble).not.toContain('unicodeletter');
    expect(report.environments.filter(({ name }) => name === 'table').length).toBeGreaterThan(8);
  });

  it('gives every table a caption and a label of its own', () => {
    const labels = report.tables.map(({ label }) => label);
    expect(new Set(labels).size).toBe(labels.length);
    expect(labels).toEqual(
      expect.arrayContaining(
        ['results', 'accuracy', 'paired', 'resolution', 'failures', 'cost', 'protocol'].map((part) => `study1-${part}`),
      ),
    );
    expect(report.tables.every(({ caption }) => caption.startsWith('First study: '))).toBe(true);
  });

  it('shows the accuracies of the JSON report with their intervals and marks', () => {
    const [table, ...more] = report.table('accuracy');
    expect(more).toEqual([]);
    const names = table!.header.map(shownText);
    expect(names).toEqual(['run', 'abacus-sums', 'abacus-divisors', 'abacus-products', 'abacus-binary', 'abacus-chains', 'average']);
    expect(table!.lines).toHaveLength(2 * rows.length);
    for (const [index, row] of rows.entries()) {
      const [values, limits] = [table!.lines[2 * index]!, table!.lines[2 * index + 1]!];
      expect(shownText(values[0]!)).toBe(row.name);
      const measured = [
        ...row.benchmarks.map(({ accuracy, versusBaseline }) => ({ accuracy, p: versusBaseline?.test.pValue })),
        { accuracy: row.average!, p: row.dropTest?.holm },
      ];
      for (const [column, { accuracy, p }] of measured.entries()) {
        const marks = p === undefined || p >= 0.05 ? '' : p >= 0.01 ? '*' : p >= 0.001 ? '**' : '***';
        expect(shownText(values[column + 1]!)).toBe(percent(accuracy.value) + marks);
        expect(shownText(limits[column + 1]!)).toBe(`[${percent(accuracy.low)}, ${percent(accuracy.high)}]`);
      }
    }
    expect(table!.notes[0]).toMatch(/p<0\.05.*McNemar.*Holm.*Bold/);
  });

  it('shows bold what lies above every other variant, and nothing else', () => {
    const interval = (value: number, half: number) => ({ value, low: value - half, high: value + half });
    const far = interval(0.9, 0.02);
    expect(distinguishable([interval(0.8, 0.02), far, interval(0.7, 0.1)])).toBe(far);
    expect(distinguishable([interval(0.8, 0.09), far])).toBeNull();
    expect(distinguishable([far])).toBeNull();
    expect([0.2, 0.049, 0.009, 0.0009].map(significanceMark)).toEqual(['', '*', '**', '***']);
    const bold = report.table('accuracy').flatMap(({ lines }) => lines.flat().filter((cell) => cell.includes('\\textbf')));
    const variants = rows.filter((row) => !row.isBaseline);
    const columns = [...rows[0]!.benchmarks.keys()].map((index) => variants.map((row) => row.benchmarks[index]!.accuracy));
    const expected = [...columns, variants.map((row) => row.average!)].filter((column) => distinguishable(column));
    expect(bold).toHaveLength(expected.length);
    const only = fakeStudy({
      problems: 60,
      pending: rows.map(({ name }) => name).filter((name) => !/baseline|GPTQ W4G128|RTN W2G128/.test(name)),
    });
    const [table] = read(only).table('accuracy');
    expect(table!.lines.flat().filter((cell) => cell.includes('\\textbf'))).toHaveLength(6);
  });

  it('shows the results, the paired tests and the resolution of the JSON report', () => {
    const lines = report.table('results').flatMap((table) => table.lines.map((line) => line.map(shownText)));
    for (const [index, row] of rows.entries()) {
      const [above, below] = [lines[2 * index]!, lines[2 * index + 1]!];
      const { average, drop, dropTest, recovery } = row;
      const p = (value: number) => (value < 0.001 ? '< 0.001' : value.toFixed(3));
      const verdict = drop && { better: 'better', worse: 'worse', 'not distinguishable': 'n.\\,d.' }[drop.verdict];
      const expected = drop
        ? [signed(-drop.value), p(dropTest!.pValue), p(dropTest!.holm), `${percent(recovery!)}\\,%`, verdict]
        : ['–', '–', '–', '–', 'baseline'];
      expect(above).toEqual([row.name, row.bitsPerWeight!.toFixed(2), percent(average!.value), ...expected]);
      expect(below[2]).toBe(`[${percent(average!.low)}, ${percent(average!.high)}]`);
      if (drop) expect(below[3]).toBe(`[${signed(-drop.high)}, ${signed(-drop.low)}]`);
    }
    const paired = report.table('paired').flatMap((table) => table.lines.map((line) => line.map(shownText)));
    const compared = rows.flatMap((row) =>
      row.benchmarks.flatMap(({ benchmark, versusBaseline }) => (versusBaseline ? [{ benchmark, versusBaseline }] : [])),
    );
    expect(paired.map(([, benchmark, change, interval, , gained, lost]) => [benchmark, change, interval, gained, lost])).toEqual(
      compared.map(({ benchmark, versusBaseline: { value, low, high, gained, lost } }) => [
        benchmark,
        signed(value),
        `[${signed(low)}, ${signed(high)}]`,
        String(gained),
        String(lost),
      ]),
    );
    const resolution = report.table('resolution').flatMap((table) => table.lines);
    const required = studyResolution(report.comparison).rows.map(({ average }) => average!.requiredProblems.toLocaleString('en-US'));
    expect(resolution.map((line) => line.at(-1)!.split(' ')[0])).toEqual(required);
  });

  it('says what it took, by which protocol, from which files and how the numbers are computed', () => {
    const summaries = fakeStudy().runs.map((run) => ({
      ...run,
      stages: run.stages.map((stage) => ({
        ...stage,
        summary: { ...stage.summary!, peakMemoryBytes: 412_000_000, peakGpuMemoryBytes: 96_000_000 },
      })),
    })) as ComparisonInput['runs'];
    const { table } = read({ ...fakeStudy({ problems: 5 }), runs: summaries });
    const [cost] = table('cost');
    expect(cost!.header.at(-2)).toContain('GPU');
    expect(cost!.lines[2]!.map(shownText)).toEqual(['GPTQ W4G128', '618 kB', '4.16', '18 s', '412 MB', '96.0 MB', 'wasm']);
    const settings = new Map(report.table('protocol')[0]!.lines.map(([name, value]) => [name, shownText(value!)]));
    expect(settings.get('seeds')).toBe('42, 43, 44');
    expect(settings.get('prompt template')).toBe('{question}');
    expect(settings.get('protocol hash')).toBe('a'.repeat(64));
    expect(report.table('provenance-data')[0]!.lines[0]!.map(shownText)).toEqual([
      'abacus-sums',
      '100',
      expect.any(String),
      'b'.repeat(64),
    ]);
    expect(report.body).toContain('8 variants of Abacus (803,456 parameters), made with RTN and GPTQ, were compared');
    expect(report.body).toContain('\\section*{How the numbers are computed}');
    expect(report.body).toContain("McNemar's test");
  });

  it('keeps a prompt that no table holds in full', () => {
    const input = fakeStudy({ problems: 3 });
    const systemPrompt = Array.from({ length: 40 }, (_, line) => `Rule ${line}: 100% & _more_`).join('\n');
    const { body, table } = read({ ...input, study: { ...input.study, protocol: { ...input.study.protocol, systemPrompt } } });
    expect(table('protocol')[0]!.lines.some(([name]) => name === 'system prompt')).toBe(false);
    expect(body).toContain('Rule 39: 100\\% \\& \\_more\\_');
  });
});

describe('LaTeX text', () => {
  it('shows every sign literally', () => {
    const signs = 'a_b % & # $ {x} ~ ^ \\cmd [1] *2* <i> "q" `c` |';
    expect(latexText(signs)).toBe(
      'a\\_b \\% \\& \\# \\$ \\{x\\} \\textasciitilde{} \\textasciicircum{} \\textbackslash{}cmd {[}1] {*}2{*} \\textless{}i\\textgreater{} \\textquotedbl{}q\\textquotedbl{} \\textasciigrave{}c\\textasciigrave{} \\textbar{}',
    );
    expect(shownText(latexText(signs))).toBe(signs);
    expect(latexText("a--b ''c'' ,,d---")).toBe("a\\mbox{-}-b \\mbox{'}'c\\mbox{'}' \\mbox{,},d\\mbox{-}\\mbox{-}-");
    expect(latexText('a\n\n b\u0000\u200b\tc')).toBe('a b c');
  });

  it('writes signs, accents and Greek letters with commands, and names every other letter', () => {
    expect(latexText('−0.4 ± 2 ≥ 1 × 3 – “x” 95 %')).toBe(
      '$-$0.4 $\\pm$ 2 $\\geq$ 1 $\\times$ 3 \\textendash{} \\textquotedblleft{}x\\textquotedblright{} 95 \\%',
    );
    expect(latexText('Müller Čapek Łódź straße naïve A\u030angström')).toBe(
      'M\\"{u}ller \\v{C}apek \\L{}\\\'{o}d\\\'{z} stra\\ss{}e na\\"{i}ve \\r{A}ngstr\\"{o}m',
    );
    expect(latexText('λ=0.1, Σ, m²')).toBe('$\\lambda$=0.1, $\\Sigma$, m$^{2}$');
    expect(latexText('中я😀\ud800')).toBe('\\unicodeletter{4E2D}\\unicodeletter{044F}\\unicodeletter{1F600}\\unicodeletter{FFFD}');
  });
});

describe('LaTeX report of a study that is not as usual', () => {
  it('stays whole with hostile names', () => {
    const prefix = '\\input{/etc/passwd}%$_^&#~{[*]}"`<|>\n\n--Ünïcode中 ';
    const { comparison, preamble, table } = read(fakeStudy({ prefix, problems: 5 }));
    expect(preamble).toContain('\\DeclareRobustCommand{\\unicodeletter}');
    const shown = shownText(table('cost')[0]!.lines[0]![0]!);
    expect(shown).toContain('\\input{/etc/passwd}%$_^&#~{[*]}"`<|> --');
    expect(shown.endsWith(`中 ${comparison.rows[0]!.name.slice(prefix.length)}`)).toBe(true);
  });

  it('says that nothing has been measured', () => {
    const { tables, body } = read({ ...fakeStudy(), runs: [], samples: [] });
    expect(tables.map(({ label }) => label)).toEqual([
      'study1-protocol',
      'study1-provenance-models',
      'study1-provenance-data',
      'study1-provenance-environment',
    ]);
    expect(body).not.toMatch(/NaN|Infinity|undefined|null/);
  });

  it('marks runs that failed or are not complete, and lets them not be the best', () => {
    const { table, body } = read(failedStudy());
    const [accuracy] = table('accuracy');
    const marked = accuracy!.lines
      .filter(([name]) => name!.includes('\\dagger'))
      .map(([name]) => shownText(name!.replace('$^{\\dagger}$', '')));
    expect(marked).toEqual(['GPTQ W2G32']);
    expect(accuracy!.notes.some((note) => note.includes('\\dagger'))).toBe(true);
    expect(accuracy!.lines.find(([name]) => shownText(name!) === 'GPTQ W2G128')!.slice(1)).toEqual(Array(6).fill('\\textendash{}'));
    const results = table('results').flatMap(({ lines }) => lines);
    expect(results.find(([name]) => name === 'GPTQ W2G128')![2]).toBe('failed');
    expect(body).toContain('GPTQ W2G128: The disk filled up at 100\\%.');
  });

  it('groups runs by model where there are several', () => {
    const { comparison, environments, table } = read(studyOfTwoModels());
    const source = environments.find((each) => each.source.includes('\\label{tab:study1-accuracy}'))!.source;
    expect(source).toMatch(/\\emph\{Abacus\}[\s\S]*\\midrule[\s\S]*\\emph\{Other model\}/);
    expect(table('accuracy')[0]!.lines).toHaveLength(2 * comparison.rows.length);
    expect(table('matrix-model2')).toHaveLength(1);
  });

  it('parts what is too wide or too long for a page, and repeats what the lines are of', () => {
    const { comparison, tables, table } = read(fakeStudy({ wide: true, problems: 8 }));
    const accuracy = table('accuracy');
    expect(accuracy.length).toBeGreaterThan(1);
    expect(accuracy.map(({ caption }) => /\(part (\d) of (\d)\)$/.exec(caption)?.[1])).toEqual(
      accuracy.map((_, index) => String(index + 1)),
    );
    const named = (rows: readonly ComparisonRow[]) => rows.map(({ name }) => name);
    expect(accuracy.flatMap(({ lines }) => lines.map(([name]) => shownText(name!)).filter((name) => name !== ''))).toEqual(
      named(comparison.rows),
    );
    const matrix = table('matrix');
    const schemes = new Set(matrix.flatMap(({ header }) => header.slice(1).map(shownText)));
    expect(schemes).toEqual(new Set(comparison.rows.filter(({ isBaseline }) => !isBaseline).map(({ scheme }) => scheme)));
    expect(Math.max(...tables.map(({ lines }) => lines.length))).toBeLessThanOrEqual(60);
    const wide = latexTables({
      label: 'wide',
      caption: 'Wide.',
      columns: ['a', ...Array.from({ length: 30 }, (_, index) => `benchmark-${index}`)].map((title) => ({ title, align: 'r' })),
      groups: [{ title: null, rows: [['x', ...Array(30).fill('97.0')]] }],
    });
    expect(wide.length).toBeGreaterThan(3);
    expect(wide[1]).toContain('\\label{tab:wide-2}');
  });
});
