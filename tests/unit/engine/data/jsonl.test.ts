import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readJsonl, streamJsonl } from '../../../../src-main/engine/data/jsonl.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'roundoff-jsonl-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function write(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

describe('readJsonl', () => {
  it('reads rows with their line numbers, past a byte order mark, CRLF and empty lines', async () => {
    const path = write('mixed.jsonl', '\uFEFF{"a": 1}\r\n\r\n   \n{"a": "zwölf \\n €"}\n{"a": [3]}');
    expect(await readJsonl(path)).toEqual([
      { line: 1, value: { a: 1 } },
      { line: 4, value: { a: 'zwölf \n €' } },
      { line: 5, value: { a: [3] } },
    ]);
  });

  it('reads an empty file as no rows', async () => {
    expect(await readJsonl(write('empty.jsonl', ''))).toEqual([]);
  });

  it('joins characters and rows that straddle read chunks', async () => {
    const values = Array.from({ length: 4000 }, (_, index) => ({ id: index, text: 'ä€😀'.repeat(index % 37) }));
    const path = write('large.jsonl', values.map((value) => JSON.stringify(value)).join('\n'));
    const rows = await readJsonl(path);
    expect(rows.map((row) => row.value)).toEqual(values);
  });

  it('names file, line, column and remedy of the first bad row', async () => {
    const path = write('bad.jsonl', '{"a": 1}\n\n{"a": 1,}\n{"b": oops}\n');
    await expect(readJsonl(path)).rejects.toMatchObject({
      code: 'dataset-invalid',
      message: expect.stringMatching(/bad\.jsonl, line 3, column 9: not valid JSON/),
      hint: expect.stringContaining('one complete JSON object'),
    });
  });

  it('places the column after the text when a row is cut off', async () => {
    const path = write('cut.jsonl', '{"a": [1, 2');
    await expect(readJsonl(path)).rejects.toMatchObject({ message: expect.stringContaining('line 1, column 12') });
  });

  it.each([
    ['[1, 2]', 'a list'],
    ['null', 'null'],
    ['"text"', 'a string'],
  ])('rejects the row %s, which is %s', async (text, kind) => {
    const path = write('not-object.jsonl', `{}\n${text}\n`);
    await expect(readJsonl(path)).rejects.toMatchObject({
      code: 'dataset-invalid',
      message: expect.stringContaining(`line 2, column 1: the row is ${kind}`),
    });
  });

  it('rejects bytes that are not UTF-8, naming the line', async () => {
    const path = write('latin1.jsonl', Buffer.concat([Buffer.from('{"a": 1}\n{"a": "'), Buffer.from([0xe4]), Buffer.from('"}\n')]));
    await expect(readJsonl(path)).rejects.toMatchObject({ message: expect.stringContaining('line 2: not valid UTF-8') });
  });

  it('rejects a missing file and a folder', async () => {
    await expect(readJsonl(join(folder, 'absent.jsonl'))).rejects.toMatchObject({ code: 'not-found' });
    await expect(readJsonl(folder)).rejects.toMatchObject({ code: 'bad-input' });
  });

  it.skipIf(process.platform === 'win32')('refuses a pipe instead of waiting on it', async () => {
    const pipe = join(folder, 'pipe.jsonl');
    execFileSync('mkfifo', [pipe]);
    await expect(readJsonl(pipe)).rejects.toMatchObject({ code: 'bad-input', message: expect.stringContaining('pipe.jsonl is a pipe') });
  });

  it('stops when asked', async () => {
    const path = write('stop.jsonl', '{}\n'.repeat(200_000));
    const controller = new AbortController();
    const read = async () => {
      for await (const row of streamJsonl(path, { signal: controller.signal })) if (row.line === 10) controller.abort();
    };
    await expect(read()).rejects.toMatchObject({ code: 'cancelled' });
  });
});
