/**
 * Tables as `table` environments that stand alone: caption, label, booktabs rules, notes below. What is too wide or too long for a page is
 * parted into several, the first column repeated.
 */
import { latexText } from './text.ts';

/** LaTeX source of a cell; with two lines, the second one small below the first. */
export type LatexCell = string | readonly [above: string, below: string];

export interface LatexColumn {
  /** Plain text; broken into short lines. */
  title: string;
  align: 'l' | 'r' | 'c';
}

export interface LatexTable {
  /** Behind `tab:`. */
  label: string;
  /** LaTeX source. */
  caption: string;
  columns: readonly LatexColumn[];
  /** Under a title of their own where it is not null. */
  groups: readonly { title: string | null; rows: readonly (readonly LatexCell[])[] }[];
  /** LaTeX source, below the table. */
  notes?: readonly string[];
}

type Row = { title: string } | { cells: readonly LatexCell[] };

/** In letters of \footnotesize on the 16 cm between the margins of A4. */
const pageWidth = 108;
const columnGap = 2;
const widestFirst = 34;
const widestOther = 44;
const pageLines = 54;

/** One `table` environment per page it takes; none without rows. */
export function latexTables(table: LatexTable): string[] {
  const rows = table.groups.flatMap(({ title, rows: own }): Row[] => [
    ...(title === null || own.length === 0 ? [] : [{ title }]),
    ...own.map((cells) => ({ cells })),
  ]);
  if (rows.length === 0) return [];
  const parts = columnParts(table, rows).flatMap((columns) => rowParts(rows).map((own) => ({ columns, rows: own })));
  return parts.map((part, index) => environment(table, part, { index, count: parts.length }));
}

function environment(
  table: LatexTable,
  part: { columns: number[]; rows: Row[] },
  { index, count }: { index: number; count: number },
): string {
  const columns = part.columns.map((column) => table.columns[column]!);
  const widths = part.columns.map((column) => columnWidth(table, part.rows, column));
  const shape = columnShapes(columns, widths);
  const which = count > 1 ? ` (part ${index + 1} of ${count})` : '';
  const notes = (table.notes ?? []).map(
    (note) => `  \\par\\smallskip\\begin{minipage}{0.97\\linewidth}\\footnotesize ${note}\\end{minipage}`,
  );
  return [
    '\\begin{table}[htbp]',
    '  \\centering\\footnotesize\\setlength{\\tabcolsep}{4pt}\\setlength{\\abovecaptionskip}{0pt}\\setlength{\\belowcaptionskip}{4pt}',
    `  \\caption{${table.caption}${which}}`,
    `  \\label{tab:${table.label}${index === 0 ? '' : `-${index + 1}`}}`,
    `  \\begin{tabular}{@{}${shape.join('')}@{}}`,
    '    \\toprule',
    `    ${columns.map(columnTitle).join(' & ')} \\\\`,
    '    \\midrule',
    ...bodyLines(part.columns, part.rows).map((line) => `    ${line}`),
    '    \\bottomrule',
    '  \\end{tabular}',
    ...notes,
    '\\end{table}',
  ].join('\n');
}

/** What the first column says again of the row above is left out. */
function bodyLines(columns: readonly number[], rows: readonly Row[]): string[] {
  let said: LatexCell | null = null;
  return rows.flatMap((row, index) => {
    if ('title' in row) {
      said = null;
      const rule = index > 0 ? ['\\midrule'] : [];
      return [...rule, `\\multicolumn{${columns.length}}{@{}l@{}}{\\emph{${latexText(row.title)}}} \\\\`, '\\addlinespace[2pt]'];
    }
    const cells = columns.map((column) => row.cells[column] ?? '');
    const isSaid = cells[0] === said;
    said = cells[0]!;
    const line = (pick: (cell: LatexCell) => string) =>
      `${cells.map((cell, position) => (position === 0 && isSaid ? '' : pick(cell))).join(' & ')} \\\\`;
    if (!isDouble({ cells })) return [line((cell) => above(cell))];
    return [line(above), line((cell) => (below(cell) === '' ? '' : `{\\scriptsize ${below(cell)}}`)), '\\addlinespace[2pt]'];
  });
}

function columnParts({ columns, ...table }: LatexTable, rows: readonly Row[]): number[][] {
  const cost = (column: number) => columnWidth({ columns, ...table }, rows, column) + columnGap;
  const parts: number[][] = [];
  let left = 0;
  for (const column of columns.keys()) {
    if (column === 0) continue;
    if (parts.length === 0 || cost(column) > left) {
      parts.push([0]);
      left = pageWidth - cost(0);
    }
    parts.at(-1)!.push(column);
    left -= cost(column);
  }
  return parts;
}

function rowParts(rows: readonly Row[]): Row[][] {
  const parts: Row[][] = [[]];
  let left = pageLines;
  for (const [index, row] of rows.entries()) {
    const lines = rowLines(row);
    const next = rows[index + 1];
    // A title does not end a page.
    const needed = 'title' in row && next ? lines + rowLines(next) : lines;
    if (needed > left && parts.at(-1)!.length > 0) {
      parts.push([]);
      left = pageLines;
    }
    parts.at(-1)!.push(row);
    left -= lines;
  }
  return parts;
}

/** How many lines a row takes, roughly; the widest cells run over several. */
function rowLines(row: Row): number {
  if ('title' in row) return 2;
  const wrapped = row.cells.map((cell, column) => Math.ceil(shownLength(above(cell)) / (column === 0 ? widestFirst : widestOther)));
  return Math.max(1, ...wrapped) + (isDouble(row) ? 1.2 : 0);
}

function columnWidth({ columns }: Pick<LatexTable, 'columns'>, rows: readonly Row[], column: number): number {
  const lengths = rows
    .flatMap((row) => ('cells' in row ? [row.cells[column] ?? ''] : []))
    .map((cell) => Math.max(shownLength(above(cell)), 0.8 * shownLength(below(cell))));
  const title = Math.max(...titleLines(columns[column]!.title).map((line) => line.length));
  return Math.min(column === 0 ? widestFirst : widestOther, Math.max(title, ...lengths));
}

/** Text columns that are cut to their widest get paragraphs; those after the first share what the others leave of the page. */
function columnShapes(columns: readonly LatexColumn[], widths: readonly number[]): string[] {
  const isCut = columns.map(({ align }, position) => align === 'l' && widths[position]! >= (position === 0 ? widestFirst : widestOther));
  const cut = isCut.filter((each, position) => each && position > 0).length;
  const taken = widths.reduce((sum, width, position) => sum + columnGap + (isCut[position] && position > 0 ? 0 : width), 0);
  return columns.map(({ align }, position) => {
    if (!isCut[position]) return align;
    const width = position === 0 ? widestFirst : Math.max(widestOther, (pageWidth - taken) / cut);
    return `p{${((0.94 * width) / pageWidth).toFixed(2)}\\linewidth}`;
  });
}

function columnTitle({ title, align }: LatexColumn): string {
  const lines = titleLines(title).map(latexText);
  return lines.length > 1 ? `\\shortstack[${align}]{${lines.join('\\\\')}}` : lines[0]!;
}

/** Words and parts of hyphenated ones, as many to a line as fit the longest of them or ten letters. */
function titleLines(title: string): string[] {
  const words = title.trim().match(/[^\s\-_/]*[-_/]+|[^\s\-_/]+\s*/g) ?? [''];
  const width = Math.max(10, ...words.map((word) => word.trimEnd().length));
  const lines: string[] = [];
  for (const word of words) {
    const longer = `${lines.at(-1) ?? ''}${word}`;
    if (lines.length > 0 && longer.trimEnd().length <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines.map((line) => line.trimEnd());
}

const above = (cell: LatexCell) => (typeof cell === 'string' ? cell : cell[0]);
const below = (cell: LatexCell) => (typeof cell === 'string' ? '' : cell[1]);
const isDouble = (row: { cells: readonly LatexCell[] }) => row.cells.some((cell) => below(cell) !== '');

/** Letters that a cell's source shows, roughly: a command counts as one, a line break as the rest of the widest line. */
function shownLength(source: string): number {
  return source
    .replace(/\\newline\b/g, 'x'.repeat(widestOther))
    .replace(/\\unicodeletter\{[0-9A-F]+\}/g, '[U+0000]')
    .replace(/\\(textbf|emph|texttt|mbox|rlap|textsuperscript|scriptsize|allowbreak)\b/g, '')
    .replace(/\\[a-zA-Z]+/g, 'x')
    .replace(/[{}$\\^]/g, '').length;
}
