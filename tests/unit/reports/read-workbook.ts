/** Reads an `.xlsx` file back: its sheets with the values and number formats of their cells, what is frozen, and the widths of columns. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { openZip, readEntry } from '../../../src-main/runtime/zip-reader.ts';
import { type Element, elementsNamed, parseMarkup, textOf } from './parse-markup.ts';

export interface ReadCell {
  value: string | number | boolean;
  /** `General` where none is set. */
  format: string;
}

export interface ReadSheet {
  name: string;
  /** By line and column, both from 0; null where nothing is. */
  cells: (ReadCell | null)[][];
  frozen: { lines: number; columns: number };
  widths: number[];
}

/** Through a file in `folder`. Throws on anything that is not well-formed, and on formulas. */
export async function readWorkbook(bytes: Uint8Array, folder: string): Promise<ReadSheet[]> {
  const file = path.join(folder, 'workbook.xlsx');
  writeFileSync(file, bytes);
  const archive = await openZip(file);
  const part = async (name: string) => parseXml(await text(await readEntry(archive, archive.entries.get(name)!)));
  const strings = elementsNamed(await part('xl/sharedStrings.xml'), 'si').map((item) => unescaped(textOf(item)));
  const formats = cellFormats(await part('xl/styles.xml'));
  const targets = new Map(
    elementsNamed(await part('xl/_rels/workbook.xml.rels'), 'Relationship').map(({ attributes }) => [attributes.Id!, attributes.Target!]),
  );
  const sheets = elementsNamed(await part('xl/workbook.xml'), 'sheet');
  return Promise.all(
    sheets.map(async ({ attributes }) => {
      const sheet = await part(`xl/${targets.get(attributes['r:id']!)!.replace(/^\/xl\//, '')}`);
      if (elementsNamed(sheet, 'f').length > 0) throw new Error(`${attributes.name} holds a formula`);
      return { name: attributes.name!, ...readSheet(sheet, strings, formats) };
    }),
  );
}

function readSheet(sheet: Element, strings: readonly string[], formats: readonly string[]): Omit<ReadSheet, 'name'> {
  const cells: (ReadCell | null)[][] = [];
  for (const cell of elementsNamed(sheet, 'c')) {
    const [, letters = '', line = ''] = /^([A-Z]+)(\d+)$/.exec(cell.attributes.r!)!;
    const column = [...letters].reduce((index, letter) => 26 * index + letter.charCodeAt(0) - 64, 0) - 1;
    const own = cells[Number(line) - 1] ?? [];
    while (own.length < column) own.push(null);
    own[column] = readCell(cell, strings, formats);
    cells[Number(line) - 1] = own;
  }
  const pane = elementsNamed(sheet, 'pane')[0]?.attributes ?? {};
  return {
    cells: Array.from(cells, (line) => line ?? []),
    frozen: { lines: Number(pane.ySplit ?? 0), columns: Number(pane.xSplit ?? 0) },
    widths: elementsNamed(sheet, 'col').map(({ attributes }) => Number(attributes.width)),
  };
}

function readCell(cell: Element, strings: readonly string[], formats: readonly string[]): ReadCell | null {
  const [held] = elementsNamed(cell, 'v');
  if (!held) return null;
  const format = formats[Number(cell.attributes.s ?? 0)] ?? 'General';
  const written = textOf(held);
  if (cell.attributes.t === 's') {
    const value = strings[Number(written)];
    if (value === undefined) throw new Error(`${cell.attributes.r}: no text ${written}`);
    return { value, format };
  }
  if (cell.attributes.t === 'b') return { value: written === '1', format };
  if (!/^-?\d+(\.\d+)?(e[+-]?\d+)?$/.test(written)) throw new Error(`${cell.attributes.r}: ${written} is no number`);
  return { value: Number(written), format };
}

function cellFormats(styles: Element): string[] {
  const own = new Map(elementsNamed(styles, 'numFmt').map(({ attributes }) => [attributes.numFmtId, attributes.formatCode!]));
  const builtIn: Record<string, string> = { 1: '0', 2: '0.00', 3: '#,##0', 4: '#,##0.00', 9: '0%', 10: '0.00%', 49: '@' };
  const [formats] = elementsNamed(styles, 'cellXfs');
  return elementsNamed(formats!, 'xf').map(({ attributes: { numFmtId = '0' } }) => own.get(numFmtId) ?? builtIn[numFmtId] ?? 'General');
}

function parseXml(source: string): Element {
  return parseMarkup(source.replace(/^<\?xml[^>]*\?>\s*/, ''));
}

/** `_x005F_` is how a workbook writes an underscore that would begin an escape. */
function unescaped(shared: string): string {
  return shared.replace(/_x([0-9A-Fa-f]{4})_/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}
