/** Measuring which kernel is fastest, and keeping the result for later runs. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../../src-main/engine/backends/select.ts';
import { dispatch } from '../../../../../src-main/engine/backends/webgpu/compute.ts';
import { gpu } from '../../../../../src-main/engine/backends/webgpu/device.ts';
import type { Kernel } from '../../../../../src-main/engine/backends/webgpu/gemm/choose.ts';
import { gemm } from '../../../../../src-main/engine/backends/webgpu/gemm/index.ts';
import { spanOf } from '../../../../../src-main/engine/backends/webgpu/gemm/operands.ts';
import type { Product } from '../../../../../src-main/engine/backends/webgpu/gemm/product.ts';
import { tuned, winner } from '../../../../../src-main/engine/backends/webgpu/gemm/tune.ts';
import { readWinners, writeWinners } from '../../../../../src-main/engine/backends/webgpu/gemm/tune-cache.ts';
import { testBackends } from '../../ops/op-check.ts';

const folder = mkdtempSync(join(tmpdir(), 'roundoff-tune-'));
const file = join(folder, 'gpu-products.json');
const before = process.env.ROUNDOFF_HOME;

beforeAll(() => {
  process.env.ROUNDOFF_HOME = folder;
});

afterAll(() => {
  if (before === undefined) delete process.env.ROUNDOFF_HOME;
  else process.env.ROUNDOFF_HOME = before;
  rmSync(folder, { recursive: true });
});

describe('the cache of measurements', () => {
  it('keeps devices apart and adds to what it holds', () => {
    writeWinners(folder, 'one', new Map([['a', 'plain']]));
    writeWinners(folder, 'two', new Map([['a', 'tile']]));
    writeWinners(folder, 'one', new Map([['b', 'matrix']]));
    expect([...readWinners(folder, 'one')]).toEqual([
      ['a', 'plain'],
      ['b', 'matrix'],
    ]);
    expect([...readWinners(folder, 'two')]).toEqual([['a', 'tile']]);
    expect(readWinners(folder, 'three').size).toBe(0);
  });

  it.each(['{"version":1,"devi', '[]', '{"version":0,"devices":{"one":{"a":"plain"}}}', '{"version":1,"devices":{"one":{"a":3}}}'])(
    'takes %s for nothing and writes it anew',
    (content) => {
      writeFileSync(file, content);
      expect(readWinners(folder, 'one').size).toBe(0);
      writeWinners(folder, 'one', new Map([['c', 'plain']]));
      expect([...readWinners(folder, 'one')]).toEqual([['c', 'plain']]);
    },
  );
});

describe.skipIf(!testBackends.includes('webgpu'))('measuring', () => {
  const side = 512;
  const tile = (tileM: number): Kernel => ({
    kind: 'tile',
    shape: { tileM, tileN: 16, tileK: 8, blockM: 4, blockN: 4, half: false },
    slices: 1,
  });
  const [slow, fast, idle, broken] = [tile(16), tile(32), tile(64), tile(128)];
  const candidates = [slow, fast, idle, broken];

  it('finds the fastest kernel that is right, once, and keeps it', async () => {
    await selectBackend('webgpu');
    const tensor = tf.ones([side, side]);
    const once = { count: 1, strideA: 0, strideB: 0, strideC: 0 };
    const product: Product = {
      ...{ a: spanOf(tensor), b: spanOf(tensor), c: spanOf(tensor), bias: null, m: side, n: side, k: side },
      ...{ transA: false, transB: true, lda: side, ldb: side, ldc: side, inner: once, outer: once },
      ...{ alpha: 1, accumulate: false, precision: 'exact', kernel: null },
    };
    let runs = 0;
    const run = ({ a, b, c }: Product, kernel: Kernel) => {
      runs++;
      const parts = { a: a.of, b: 'code' in b ? tensor : b.of, c: c.of };
      const times = kernel === slow ? 6 : kernel === fast ? 1 : 0;
      for (let i = 0; i < times; i++) gemm({ ...parts, m: side, n: side, k: side, transB: true, kernel: { kind: 'plain' } });
      if (kernel === broken) dispatch({ name: 'test-no-shader', reads: {}, writes: { c: c.of }, workgroups: 1, code: () => 'fn main() {' });
    };
    expect(winner(product, candidates, run)).toBeNull();
    expect(winner(product, candidates, run)).toBeNull();
    await tuned();
    expect(runs).toBe(10);
    expect(winner(product, candidates, run)).toBe(fast);
    expect(winner({ ...product, m: 8 }, candidates, run)).toBeNull();
    await tuned();
    expect(runs).toBe(10);
    gpu().health.check();
    expect([...readWinners(folder, gpu().name).values()]).toEqual([expect.stringMatching(/^tile \{/)]);
    expect(readFileSync(file, 'utf8')).toContain(gpu().name);
    tensor.dispose();
  });
});
