/**
 * A sweep over methods and schemes as a table: which schemes belong together, in which order they stand, and how a result compares with
 * the baseline. Shared by the workbench and every report. Pure.
 */
import { type ComparisonRow, seriesName } from './comparison.ts';
import { parseScheme, type QuantizationScheme } from './scheme.ts';

/** `W3`, `W4A4KV4`, `NF4`, `INT8`: schemes that differ only in groups, zero points and scale coding. `none` for the baseline. */
export function schemeFamily(scheme: string): string {
  const parsed = tryParse(scheme);
  if (!parsed) return scheme;
  const kv = parsed.kvBits ? `KV${parsed.kvBits}` : '';
  if (parsed.coding) return `${parsed.coding.toUpperCase()}${kv}`;
  return `W${parsed.bits}${parsed.activationBits ? `A${parsed.activationBits}` : ''}${kv}`;
}

/** What tells a scheme from the others of its family: `G128`, `channel`, `G32 sym`, `double`. */
export function schemeWithinFamily(scheme: string): string {
  const parsed = tryParse(scheme);
  if (!parsed) return scheme;
  if (parsed.coding) return parsed.doubleQuantization ? 'double' : parsed.coding === 'nf4' ? 'single' : '';
  const suffix = /:(sym|asym)$/.exec(scheme)?.[1];
  return `${parsed.groupSize === null ? 'channel' : `G${parsed.groupSize}`}${suffix ? ` ${suffix}` : ''}`;
}

/** Weights alone before activations, more bits before fewer, finer groups before coarser; unknown schemes last. */
export function compareSchemes(a: string, b: string): number {
  const [left, right] = [sortKey(a), sortKey(b)];
  for (const [index, value] of left.entries()) if (value !== right[index]) return value - right[index]!;
  return a < b ? -1 : a > b ? 1 : 0;
}

export interface SchemeMatrix {
  /** Schemes, in order. */
  columns: string[];
  /** Neighbouring columns of one family. */
  families: { family: string; columns: number }[];
  /** One per series; `rows` stand under their columns. */
  lines: { series: string; method: string; rows: (ComparisonRow | null)[] }[];
}

/** Rows of one model as series × schemes; without the baseline. Lines keep the order of first appearance. */
export function schemeMatrix(rows: readonly ComparisonRow[]): SchemeMatrix {
  const variants = rows.filter((row) => !row.isBaseline);
  const columns = [...new Set(variants.map((row) => row.scheme))].sort(compareSchemes);
  const severalSeeds = new Set(variants.map((row) => row.seed)).size > 1;
  const lines: SchemeMatrix['lines'] = [];
  const lineOf = (series: string, method: string) => {
    const known = lines.find((line) => line.series === series);
    if (known) return known;
    const line = { series, method, rows: columns.map(() => null) };
    lines.push(line);
    return line;
  };
  for (const row of variants) {
    const series = severalSeeds ? `${seriesName(row)}, seed ${row.seed}` : seriesName(row);
    const column = columns.indexOf(row.scheme);
    const line = lineOf(series, row.method);
    // Two of one series and scheme are told apart by their whole names.
    (line.rows[column] ? lineOf(row.name, row.method) : line).rows[column] = row;
  }
  const families: SchemeMatrix['families'] = [];
  for (const column of columns) {
    const family = schemeFamily(column);
    const last = families.at(-1);
    if (last?.family === family) last.columns += 1;
    else families.push({ family, columns: 1 });
  }
  return { columns, families, lines };
}

/** Fewer say no more as a matrix than as a list. */
export function isWorthAMatrix({ columns, lines }: SchemeMatrix): boolean {
  return lines.length >= 2 && columns.length >= 2;
}

/** A result beside the baseline: by the paired verdict, and where that is `worse` by the share of accuracy that is left. */
export const resultTones = ['better', 'even', 'loss-1', 'loss-2', 'loss-3', 'loss-4'] as const;
export type ResultTone = (typeof resultTones)[number];

export const toneTitles: Record<ResultTone, string> = {
  better: 'better than the baseline',
  even: 'not distinguishable',
  'loss-1': 'worse, at least 95 % kept',
  'loss-2': '80–95 % kept',
  'loss-3': '50–80 % kept',
  'loss-4': 'under 50 % kept',
};

/** Null without a comparison. */
export function resultTone({ drop, recovery }: Pick<ComparisonRow, 'drop' | 'recovery'>): ResultTone | null {
  if (!drop || recovery === null) return null;
  if (drop.verdict === 'better') return 'better';
  if (drop.verdict === 'not distinguishable') return 'even';
  return recovery >= 0.95 ? 'loss-1' : recovery >= 0.8 ? 'loss-2' : recovery >= 0.5 ? 'loss-3' : 'loss-4';
}

function sortKey(text: string): number[] {
  const scheme = tryParse(text);
  if (!scheme) return [2, 0, 0, 0, 0, 0, 0];
  const other = (scheme.activationBits ?? scheme.kvBits) === undefined ? 0 : 1;
  return [
    other,
    -scheme.bits,
    -(scheme.activationBits ?? 16),
    -(scheme.kvBits ?? 16),
    scheme.coding ? 1 : 0,
    scheme.groupSize ?? Number.MAX_SAFE_INTEGER,
    (scheme.symmetric ? 1 : 0) + (scheme.doubleQuantization ? 2 : 0),
  ];
}

function tryParse(text: string): QuantizationScheme | null {
  try {
    return parseScheme(text);
  } catch {
    return null;
  }
}
