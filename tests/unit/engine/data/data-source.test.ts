import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadBenchmark } from '../../../../src-main/engine/benchmarks/load.ts';
import { fingerprintSource, resolveDataSource } from '../../../../src-main/engine/data/data-source.ts';

const root = mkdtempSync(join(tmpdir(), 'roundoff-sources-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const row = (text: string) => `${JSON.stringify({ problem: text, answer: '1' })}\n`;
function write(name: string, content: string): string {
  const path = join(root, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}
const questions = async (path: string, split?: string) =>
  (await loadBenchmark({ name: 'x', path, limit: null, ...(split ? { split } : {}) })).problems.map(({ id, question }) => [id, question]);
const failureOf = (path: string, split?: string) =>
  resolveDataSource(path, split).catch((error: unknown) => error) as Promise<Error & { code: string; hint: string }>;

describe('a Hugging Face cache folder', () => {
  const revision = 'e53f048856ff4f594e959d75785d2c2d37b678ee';
  const dataset = join(root, 'hub/datasets--openai--gsm8k');
  write('hub/datasets--openai--gsm8k/refs/main', revision);
  write('hub/datasets--openai--gsm8k/blobs/aa', row('from the cache'));
  for (const config of ['main', 'socratic']) {
    const dir = join(dataset, 'snapshots', revision, config);
    mkdirSync(dir, { recursive: true });
    symlinkSync('../../../blobs/aa', join(dir, 'test-00000-of-00001.jsonl'));
    symlinkSync('../../../blobs/aa', join(dir, 'train-00000-of-00001.jsonl'));
  }
  write('hub/datasets--openai--gsm8k/snapshots/older/README.md', '');

  it('is the snapshot that refs/main names; links are followed', async () => {
    const source = await resolveDataSource(dataset, 'main/test');
    expect(source.repository).toBe(`openai/gsm8k, revision ${revision}`);
    expect(source.splits).toEqual(['main/test', 'main/train', 'socratic/test', 'socratic/train']);
    expect(await questions(dataset, 'main/test')).toEqual([['1', 'from the cache']]);
    expect(await questions(join(dataset, 'snapshots', revision, 'main'))).toEqual([['1', 'from the cache']]);
  });

  it('asks which split, naming them all', async () => {
    const failure = await failureOf(dataset);
    expect(failure.message).toMatch(/several splits: main\/test, main\/train, socratic\/test, socratic\/train/);
    expect(failure.hint).toMatch(/--split/);
    expect((await failureOf(dataset, 'test')).message).toMatch(/several splits called "test": main\/test, socratic\/test/);
    expect((await failureOf(dataset, 'dev')).message).toMatch(/no split "dev"/);
  });

  it('names the data sets of a whole cache, and a cache without a snapshot', async () => {
    expect((await failureOf(join(root, 'hub'))).message).toMatch(/several splits|a cache of 1 data sets/);
    mkdirSync(join(root, 'bare/datasets--a--b/snapshots'), { recursive: true });
    expect((await failureOf(join(root, 'bare/datasets--a--b'))).message).toMatch(/holds no snapshot/);
    expect((await failureOf(join(root, 'bare'))).hint).toMatch(/datasets--a--b/);
  });
});

describe('a folder', () => {
  it('joins shards in order and takes the only test split', async () => {
    write('shards/data/test-00001-of-00002.jsonl', row('second'));
    write('shards/data/test-00000-of-00002.jsonl', row('first'));
    write('shards/data/train-00000-of-00001.jsonl', row('train'));
    write('shards/dataset_infos.json', '{}');
    expect(await questions(join(root, 'shards'))).toEqual([
      ['1', 'first'],
      ['2', 'second'],
    ]);
  });

  it('reads several splits one after the other, ids told apart', async () => {
    write('lcb/test4.jsonl', row('four'));
    write('lcb/test5.jsonl', row('five'));
    expect(await questions(join(root, 'lcb'), 'test4+test5')).toEqual([
      ['test4/1', 'four'],
      ['test5/1', 'five'],
    ]);
  });

  it('of one JSON file per problem is read as MATH publishes it', async () => {
    for (const name of ['test/algebra/10', 'test/algebra/2', 'test/geometry/1', 'train/algebra/1'])
      write(`MATH/${name}.json`, JSON.stringify({ problem: name, level: 'Level 1', type: 'Algebra', solution: '\\boxed{1}' }));
    expect((await questions(join(root, 'MATH'))).map(([id]) => id)).toEqual([
      'test/algebra/2.json',
      'test/algebra/10.json',
      'test/geometry/1.json',
    ]);
    expect(await questions(join(root, 'MATH'), 'train')).toEqual([['train/algebra/1.json', 'train/algebra/1']]);
  });

  it('scores 90 + 30 problems as 3/4 and 1/4, as AIME-120 is defined', async () => {
    write('aime/aime2022-2024.jsonl', Array.from({ length: 90 }, (_, index) => row(`a${index}`)).join(''));
    write('aime/aime2025.jsonl', Array.from({ length: 30 }, (_, index) => row(`b${index}`)).join(''));
    const ids = (await questions(join(root, 'aime'), 'aime2022-2024+aime2025')).map(([id]) => id!);
    const share = (prefix: string) => ids.filter((id) => id.startsWith(prefix)).length / ids.length;
    expect(ids).toHaveLength(120);
    expect([share('aime2022'), share('aime2025')]).toEqual([0.75, 0.25]);
  });

  it('changes its fingerprint with any of its files', async () => {
    const source = await resolveDataSource(join(root, 'lcb'), 'test4+test5');
    const before = await fingerprintSource(source);
    write('lcb/test5.jsonl', row('other'));
    expect((await fingerprintSource(source)).sha256).not.toBe(before.sha256);
    expect(before.sizeBytes).toBe(Buffer.byteLength(row('four') + row('five')));
  });

  it('says what it cannot read', async () => {
    write('arrow/data-00000.arrow', '');
    expect((await failureOf(join(root, 'arrow'))).hint).toMatch(/Arrow files cannot be read/);
    expect((await failureOf(join(root, 'nowhere'))).code).toBe('not-found');
    expect((await failureOf(write('one.jsonl', row('x')), 'test')).message).toMatch(/is one file and has no split/);
  });
});
