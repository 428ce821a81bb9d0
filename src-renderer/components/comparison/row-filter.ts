/** Which rows of a comparison are looked at, and under which headings. Pure. The baseline is always among them. */
import { type ComparisonRow, methodsTitle } from '#contract/comparison.ts';
import { compareSchemes, schemeFamily } from '#contract/sweep.ts';

export interface RowFilter {
  /** Empty lists let everything through. */
  methods: string[];
  families: string[];
  text: string;
}
export const noFilter = (): RowFilter => ({ methods: [], families: [], text: '' });

export function filterRows(rows: readonly ComparisonRow[], { methods, families, text }: RowFilter): ComparisonRow[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const isShown = (row: ComparisonRow) =>
    (methods.length === 0 || methods.includes(row.method)) &&
    (families.length === 0 || families.includes(schemeFamily(row.scheme))) &&
    words.every((word) => row.name.toLowerCase().includes(word));
  return rows.filter((row) => row.isBaseline || isShown(row));
}

/** Methods of the variants in order of appearance, and how many have each. */
export function methodCounts(rows: readonly ComparisonRow[]): Map<string, number> {
  return count(rows.filter((row) => !row.isBaseline).map((row) => row.method));
}

/** Scheme families of the variants, many bits before few. */
export function familyCounts(rows: readonly ComparisonRow[]): Map<string, number> {
  const counts = count(rows.filter((row) => !row.isBaseline).map((row) => schemeFamily(row.scheme)));
  return new Map([...counts].sort(([a], [b]) => compareSchemes(a, b)));
}

export type Grouping = 'none' | 'method' | 'family';

/** Headings with their rows, in order of appearance (methods) or of schemes; the baseline first and without a heading. */
export function groupRows(rows: readonly ComparisonRow[], by: Grouping): { title: string; rows: ComparisonRow[] }[] {
  if (by === 'none') return [{ title: '', rows: [...rows] }];
  const baselines = rows.filter((row) => row.isBaseline);
  const variants = rows.filter((row) => !row.isBaseline);
  const keys = [...(by === 'method' ? methodCounts(rows) : familyCounts(rows)).keys()];
  const groups = keys.map((key) => ({
    title: by === 'method' ? methodsTitle(key) : key,
    rows: variants.filter((row) => (by === 'method' ? row.method : schemeFamily(row.scheme)) === key),
  }));
  return [...(baselines.length > 0 ? [{ title: '', rows: baselines }] : []), ...groups];
}

function count(values: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}
