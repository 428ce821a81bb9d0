/**
 * Rows before a layout reads them: columns renamed as a mapping says, rows left out that a condition excludes, and values that Parquet has and
 * JSON has not made plain.
 */
import type { BenchmarkReference, ColumnMapping } from '#contract/benchmarks.ts';
import { columnsOf, invalid, type Row } from './problem.ts';

/** Fields that every row has to fill, when they are mapped. */
const needed = new Set<string>(['question', 'answer', 'choices', 'tests']);

/** The row with mapped columns under the fields' names, and nothing else. Throws `dataset-invalid` for a column that is not there or empty. */
export function mapColumns(row: Row, columns: ColumnMapping, place: string): Row {
  const mapped: Row = {};
  for (const [field, column] of Object.entries(columns)) {
    const names = field === 'choices' && !Object.hasOwn(row, column) ? column.split('+').map((name) => name.trim()) : [column];
    const missing = names.find((name) => !Object.hasOwn(row, name));
    if (missing !== undefined)
      throw invalid(place, `no column "${missing}" for "${field}" (${columnsOf(row)})`, `Map "${field}" to a column that every row has.`);
    const empty = needed.has(field) ? names.find((name) => row[name] === null || row[name] === undefined || row[name] === '') : undefined;
    if (empty !== undefined)
      throw invalid(
        place,
        `column "${empty}", which is mapped to "${field}", is empty`,
        'Fill it in, or leave such rows out by a condition.',
      );
    mapped[field] = names.length === 1 ? row[names[0]!] : names.map((name) => row[name]);
  }
  return mapped;
}

/** Whether a row is wanted. Throws `dataset-invalid` when it lacks the column. */
export function isWanted(row: Row, where: NonNullable<BenchmarkReference['where']>, place: string): boolean {
  return Object.entries(where).every(([column, condition]) => {
    if (!Object.hasOwn(row, column))
      throw invalid(place, `no column "${column}" to select by (${columnsOf(row)})`, 'Select by a column that every row has.');
    return matches(String(row[column] ?? ''), condition);
  });
}

/** `3..5` is a range of whole numbers, which also `Level 4` is in; anything else lists values. */
function matches(value: string, condition: string): boolean {
  const range = /^(-?\d+)\.\.(-?\d+)$/.exec(condition);
  if (!range) return condition.split('|').some((wanted) => wanted.trim().toLowerCase() === value.trim().toLowerCase());
  const number = Number(/-?\d+/.exec(value)?.[0] ?? Number.NaN);
  return number >= Number(range[1]) && number <= Number(range[2]);
}

/** 64-bit numbers as numbers where they are exact, else as text. */
export function plainRow(row: Row): Row {
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, plain(value)]));
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  return Array.isArray(value) ? value.map(plain) : value;
}
