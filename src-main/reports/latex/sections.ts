/** What stands beside the results in the LaTeX report: resolution, failures, perplexity, protocol, provenance. */
import { measureText } from '#contract/benchmarks.ts';
import type { StudyComparison } from '#contract/comparison.ts';
import { failureHeader, failureLines, failureNote } from '../failure-table.ts';
import { bytes, count, date } from '../format.ts';
import { perplexityHeader, perplexityLines, perplexityNote } from '../perplexity-table.ts';
import { protocolEntries } from '../protocol-entries.ts';
import { studyResolution } from '../resolution.ts';
import { resolutionTable } from '../resolution-table.ts';
import type { LatexColumn, LatexTable } from './table.ts';
import { latexCode, latexLines, latexText } from './text.ts';

/** Values beyond these do not fit a table. */
const longestSetting = 400;
const mostLines = 8;

export function resolutionSection(comparison: StudyComparison, label: string): LatexTable {
  const { header, lines, note } = resolutionTable(
    studyResolution(comparison),
    comparison.benchmarks.map(({ name }) => name),
  );
  // The change stands in the table of results.
  const own = (line: readonly string[]) => line.toSpliced(header.indexOf('change'), 1);
  const caption = `${title(comparison)}what this study could have seen.`;
  return textTable({ label, caption, header: own(header), lines: lines.map(own), note, align: 'r' });
}

export function failureSection(comparison: StudyComparison, label: string): LatexTable {
  const lines = failureLines(comparison.rows).map(({ run, cells }) => [run, ...cells]);
  const header = ['run', ...failureHeader];
  return textTable({ label, caption: `${title(comparison)}how completions fail.`, header, lines, note: failureNote, align: 'r' });
}

export function perplexitySection(comparison: StudyComparison, label: string): LatexTable {
  const lines = perplexityLines(comparison).map(({ run, cells }) => [run.name, ...cells]);
  const header = ['run', ...perplexityHeader(comparison)];
  return textTable({ label, caption: `${title(comparison)}perplexity of texts.`, header, lines, note: perplexityNote, align: 'r' });
}

/** The settings that fit a table; `longSettings` has the others. */
export function protocolTable(comparison: StudyComparison, label: string): LatexTable {
  const rows = protocolEntries(comparison.protocol, comparison.protocolHash)
    .filter(([, value]) => !isLong(value))
    .map(([name, value]) => [latexText(name), /^[0-9a-f]{32,}$/.test(value) ? latexCode(value) : latexLines(value)]);
  return {
    label,
    caption: `${title(comparison)}evaluation protocol.`,
    columns: columns(['setting', 'value'], 'l'),
    groups: [{ title: null, rows }],
  };
}

/** Prompts and templates of any length, as LaTeX source that runs over pages. */
export function longSettings({ protocol, protocolHash }: StudyComparison): string[] {
  return protocolEntries(protocol, protocolHash)
    .filter(([, value]) => isLong(value))
    .map(([name, value]) => `\\paragraph{${latexText(name)}}\n\\begin{quote}\\small\\raggedright ${paragraphs(value)}\\end{quote}`);
}

export function provenanceTables(comparison: StudyComparison, label: string): LatexTable[] {
  const models = comparison.models.map(({ name, parameters, sizeBytes, hash }) => [
    ...[name, count(parameters), bytes(sizeBytes)].map(latexText),
    latexCode(hash),
  ]);
  const data = [
    ...comparison.benchmarks.map((each) => [each.name, count(each.problems), measureText(each), each.sha256] as const),
    ...comparison.texts.map(({ name, sha256 }) => [name, '–', measureText({ kind: 'text' }), sha256] as const),
  ].map(([name, problems, measured, hash]) => [latexText(name), latexText(problems), latexText(measured), latexCode(hash)]);
  const environment = [
    ['study created', date(comparison.createdAt)] as const,
    ...Object.entries(comparison.environment),
    ...devices(comparison),
  ];
  const table = (part: string, caption: string, header: readonly string[], rows: readonly string[][]): LatexTable => ({
    label: `${label}-${part}`,
    caption: title(comparison) + caption,
    columns: columns(header, 'l'),
    groups: [{ title: null, rows }],
  });
  return [
    table('models', 'models.', ['model', 'parameters', 'size', 'sha256'], models),
    table('data', 'benchmarks and texts.', ['name', 'problems', 'measured', 'sha256'], data),
    table(
      'environment',
      'hardware and versions.',
      ['', 'value'],
      environment.map((entry) => entry.map(latexLines)),
    ),
  ];
}

/** Backends and what they ran on. */
function devices({ rows }: StudyComparison): [label: string, value: string][] {
  const used = rows.flatMap(({ backend, device }) => (backend ? [`${backend}${device ? `: ${device}` : ''}`] : []));
  return used.length > 0 ? [['backend', [...new Set(used)].join('\n')]] : [];
}

interface TextTable {
  label: string;
  caption: string;
  header: readonly string[];
  lines: readonly (readonly string[])[];
  note: string;
  align: LatexColumn['align'];
}

function textTable({ label, caption, header, lines, note, align }: TextTable): LatexTable {
  const rows = lines.map((line) => line.map(latexText));
  return { label, caption, columns: columns(header, align), groups: [{ title: null, rows }], notes: [latexText(note)] };
}

function columns(header: readonly string[], align: LatexColumn['align']): LatexColumn[] {
  return header.map((text, index) => ({ title: text, align: index === 0 ? 'l' : align }));
}

function paragraphs(text: string): string {
  return text
    .split(/\r\n|[\n\r]/)
    .map(latexText)
    .join('\\par\n');
}

const title = ({ name }: StudyComparison) => `${latexText(name)}: `;
const isLong = (value: string) => value.length > longestSetting || value.split('\n').length > mostLines;
