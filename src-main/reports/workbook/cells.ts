/**
 * Sheets as columns over items. Numbers stay numbers and carry a format; text stays text, also where it begins like a formula.
 */
import type { Cell, Sheet } from 'write-excel-file/node';

export type CellValue = string | number | boolean | null;
export type WorkbookSheet = Sheet<never>;

/** How numbers are shown. Values are those of the comparison: accuracies and their differences are shares of 1. */
export const formats = {
  share: '0.0%',
  change: '+0.0%;-0.0%;0.0%',
  p: '0.0000',
  count: '#,##0',
  tokens: '#,##0.0',
  bits: '0.00',
  ratio: '0.0000',
  seconds: '#,##0.0',
  plain: '0',
} as const;

export interface SheetColumn<T> {
  title: string;
  format?: keyof typeof formats;
  /** Of text that may run long: the cell grows downwards. */
  wrap?: boolean;
  value(item: T): CellValue;
}

/** What a cell can hold; longer text is cut, and says so. */
export const longestText = 32_000;
const widest = 60;
const narrowest = 9;

/** A header that stays in sight with the first column, and a line per item. */
export function tableSheet<T>(
  name: string,
  columns: readonly SheetColumn<T>[],
  items: readonly T[],
  remarks: readonly string[] = [],
): WorkbookSheet {
  const rows = items.map((item) => columns.map(({ value }) => value(item)));
  return {
    sheet: name,
    stickyRowsCount: 1,
    stickyColumnsCount: 1,
    columns: columns.map(({ title }, index) => ({
      width: widthOf(
        title,
        rows.map((row) => row[index] ?? null),
      ),
    })),
    data: [
      columns.map(({ title }) => headerCell(title)),
      ...rows.map((row) => row.map((value, index) => cellOf(value, columns[index]!))),
      ...remarks.flatMap((remark) => [[], [textCell(remark)]]),
    ],
  };
}

export function headerCell(title: string): Cell {
  return {
    ...textCell(title),
    fontWeight: 'bold',
    wrap: true,
    alignVertical: 'top',
    backgroundColor: '#E8ECF2',
    bottomBorderStyle: 'thin',
  };
}

export function cellOf(value: CellValue, { format, wrap }: Pick<SheetColumn<never>, 'format' | 'wrap'> = {}): Cell {
  if (value === null || value === '') return null;
  if (typeof value === 'string') return { ...textCell(value), alignVertical: 'top', ...(wrap ? { wrap: true } : {}) };
  // A sheet has no number for these.
  if (typeof value === 'number' && !Number.isFinite(value)) return textCell(String(value));
  if (typeof value === 'boolean') return { value, type: Boolean, alignVertical: 'top' };
  return { value, type: Number, alignVertical: 'top', ...(format ? { format: formats[format] } : {}) };
}

/** A text that begins like a formula gets the text format, so that it stays one when its cell is edited. */
function textCell(text: string): { value: string; type: StringConstructor; format?: string } {
  const value = storable(text);
  return { value, type: String, ...(/^[=+\-@\t\r\n]/.test(value) && value.length <= 255 ? { format: '@' } : {}) };
}

/**
 * Cut to what a cell holds. `_x0041_` would be read as an escaped letter, so its first character is escaped. A blank is added to names that
 * every object of JavaScript has: the library would take them for texts that it has written before.
 */
function storable(text: string): string {
  const rest = text.length - longestText;
  const whole = rest > 0 ? `${text.slice(0, longestText).toWellFormed()}… (${rest} more characters)` : text.toWellFormed();
  const escaped = whole.replace(/_x(?=[0-9A-Fa-f]{4}_)/g, '_x005F_x');
  return escaped in Object.prototype ? `${escaped} ` : escaped;
}

function widthOf(title: string, values: readonly CellValue[]): number {
  const texts = values.filter((value) => typeof value === 'string').map((text) => Math.max(...text.split('\n').map((line) => line.length)));
  const words = title.split(' ').map((word) => word.length);
  return Math.min(widest, Math.max(narrowest, ...texts, ...words) + 2);
}
