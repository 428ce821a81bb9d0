import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadBenchmark } from '../../../../src-main/engine/benchmarks/load.ts';
import { streamDocuments } from '../../../../src-main/engine/data/documents.ts';
import { parquetColumns, streamParquet } from '../../../../src-main/engine/data/parquet.ts';

const fixture = (name: string) => fileURLToPath(new URL(`../../../golden/fixtures/parquet/${name}.parquet`, import.meta.url));
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'roundoff-parquet-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

describe('streamParquet', () => {
  it.each(['snappy', 'zstd', 'gzip', 'none'])('reads all row groups of a file compressed by %s, with numbered rows', async (codec) => {
    const rows = await all(streamParquet(fixture(`text-${codec}`), { columns: ['text', 'absent'] }));
    expect(rows).toEqual(Array.from({ length: 10 }, (_, i) => ({ row: i + 1, value: { text: `Line ${i}: ${i} + ${i} = ${2 * i}` } })));
  });

  it('names the columns of nested schemas', async () => {
    expect(await parquetColumns(fixture('messages'))).toEqual(['messages', 'source']);
  });

  it('stops at a cancellation', async () => {
    const signal = AbortSignal.abort();
    await expect(all(streamParquet(fixture('text-snappy'), { signal }))).rejects.toMatchObject({ code: 'cancelled' });
  });

  it.each([
    ['cut off', (bytes: Buffer) => bytes.subarray(0, bytes.length - 20)],
    ['damaged in its footer', (bytes: Buffer) => bytes.fill(0x7f, bytes.length - 60, bytes.length - 8)],
    ['empty', () => Buffer.alloc(0)],
    ['something else', () => Buffer.from('{"text": "not Parquet at all, but long enough to look at"}')],
  ])('refuses a file that is %s', async (name, damage) => {
    const path = join(folder, `${name}.parquet`);
    copyFileSync(fixture('text-snappy'), path);
    writeFileSync(path, damage(Buffer.from(readFileSync(path))));
    const error = { code: 'dataset-invalid', hint: expect.stringContaining('Download') };
    await expect(all(streamParquet(path))).rejects.toMatchObject(error);
  });

  it('names a row group whose data is damaged', async () => {
    const path = join(folder, 'data.parquet');
    const bytes = Buffer.from(readFileSync(fixture('text-zstd')));
    writeFileSync(path, bytes.fill(0xff, 4, 60));
    await expect(all(streamParquet(path))).rejects.toMatchObject({
      code: 'dataset-invalid',
      message: expect.stringContaining('row group 1'),
    });
  });

  it('refuses a missing file', async () => {
    await expect(all(streamParquet('/nowhere/text.parquet'))).rejects.toMatchObject({ code: 'not-found' });
  });
});

describe('what Parquet rows become', () => {
  it('calibration documents: texts, conversations, problems with solutions', async () => {
    const [first] = await all(streamDocuments(fixture('text-snappy'), { textLength: 1 }));
    expect(first).toEqual({ place: 'row 1', text: 'Line 0: 0 + 0 = 0', messages: null });
    const [chat] = await all(streamDocuments(fixture('messages'), { textLength: 1 }));
    const turns = [
      { role: 'user', content: '0+1?' },
      { role: 'assistant', content: '1' },
    ];
    expect(chat).toEqual({ place: 'row 1', text: null, messages: turns });
    const [problem] = await all(streamDocuments(fixture('problems'), { textLength: 1 }));
    expect(problem!.messages!.map(({ content }) => content)).toEqual(['1+1?', '2']);
  });

  it('problems of a benchmark', async () => {
    const { problems } = await loadBenchmark({ name: 'p', path: fixture('problems'), limit: null });
    expect(problems.map(({ question, gold }) => [question, gold])).toEqual([
      ['1+1?', '2'],
      ['2+2?', '4'],
    ]);
  });
});
