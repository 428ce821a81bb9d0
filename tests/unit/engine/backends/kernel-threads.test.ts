import { spawnSync } from 'node:child_process';
import { beforeAll, describe, expect, it } from 'vitest';
import { startWasm } from '../../../../src-main/engine/backends/wasm/backend.ts';
import { runParallel } from '../../../../src-main/engine/backends/wasm/kernel-module.ts';
import { allocate, floatsAt, heapBuffer, release } from '../../../../src-main/engine/backends/wasm/memory.ts';
import { shareMemory } from '../../../../src-main/engine/backends/wasm/shared-heap.ts';
import { normals } from '../ops/op-check.ts';

beforeAll(async () => {
  await startWasm();
});

describe('runParallel', () => {
  it('gives the same bits in one chunk and in many, call after call', () => {
    const count = 50_003;
    const [gate, up, whole, parts] = [allocate(4 * count), allocate(4 * count), allocate(4 * count), allocate(4 * count)];
    floatsAt(gate, count).set(normals(count, 1));
    floatsAt(up, count).set(normals(count, 2));
    runParallel('swigluForward', count, count, [gate, up, whole]);
    const expected = floatsAt(whole, count).slice();
    for (const itemsPerChunk of [4, 64, 1000, 16_384]) {
      for (let repeat = 0; repeat < 20; repeat++) {
        floatsAt(parts, count).fill(Number.NaN);
        runParallel('swigluForward', count, itemsPerChunk, [gate, up, parts]);
        expect(floatsAt(parts, count).every((value, i) => value === expected[i])).toBe(true);
      }
    }
    for (const offset of [gate, up, whole, parts]) release(offset);
  });

  it('reaches memory that was added after the threads started', () => {
    const count = 2 ** 24;
    const before = heapBuffer().byteLength;
    const [gate, y] = [allocate(4 * count), allocate(4 * count)];
    expect(heapBuffer().byteLength).toBeGreaterThan(before);
    floatsAt(gate, count).fill(2);
    runParallel('swigluForward', count, 2 ** 14, [gate, gate, y]);
    const expected = Math.fround(4 / (1 + Math.exp(-2)));
    expect(floatsAt(y, count).every((value) => Math.abs(value - expected) < 1e-6)).toBe(true);
    release(gate);
    release(y);
  });

  it('fails instead of waiting for ever when a kernel reaches outside the heap, and works again afterwards', () => {
    const count = 2 ** 16;
    const y = allocate(4 * count);
    const beyond = heapBuffer().byteLength - 4 * 64;
    for (let repeat = 0; repeat < 20; repeat++) expect(() => runParallel('swigluForward', count, 64, [beyond, beyond, y])).toThrow();
    floatsAt(y, count).fill(2);
    runParallel('swigluForward', count, 64, [y, y, y]);
    expect(floatsAt(y, count).every((value) => Math.abs(value - 4 / (1 + Math.exp(-2))) < 1e-6)).toBe(true);
    release(y);
  });

  it('does nothing for no items', () => {
    expect(() => runParallel('swigluForward', 0, 4, [0, 0, 0])).not.toThrow();
  });

  it('does not keep a process alive', () => {
    const url = (file: string) => new URL(`../../../../src-main/engine/${file}`, import.meta.url).href;
    const script = `
      const { selectBackend } = await import('${url('backends/select.ts')}');
      const { swiglu } = await import('${url('ops/index.ts')}');
      const tf = await import('@tensorflow/tfjs-core');
      await selectBackend('wasm');
      console.log((await swiglu(tf.ones([300, 300]), tf.ones([300, 300])).data())[89999].toFixed(4));`;
    const root = new URL('../../../..', import.meta.url);
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], { cwd: root, encoding: 'utf8', timeout: 50_000 });
    expect(child.stderr).toBe('');
    expect(child.stdout).toBe('0.7311\n');
    expect(child.status).toBe(0);
  });
});

describe('shareMemory', () => {
  const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];

  it('sets the flag of a memory with a maximum, in a copy', () => {
    const module = Uint8Array.from([...header, 5, 4, 1, 1, 2, 8]);
    expect([...shareMemory(module)]).toEqual([...header, 5, 4, 1, 3, 2, 8]);
    expect(module[11]).toBe(1);
  });

  it('refuses a module whose memory it does not know', () => {
    expect(() => shareMemory(Uint8Array.from(header))).toThrow('unknown way');
    expect(() => shareMemory(Uint8Array.from([...header, 5, 3, 1, 0, 2]))).toThrow('unknown way');
  });
});
