import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { RoundoffError } from '#contract/errors.ts';
import { listBackends, selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { packFormat, readTensorflowPack } from '../../../../src-main/engine/backends/tensorflow/pack.ts';
import { expectGpuFailure } from '../../../support/gpu-health.ts';

describe('selectBackend', () => {
  it('takes the first backend that works and gives a reason for each one before it', async () => {
    const selected = await selectBackend('auto');
    expect(tf.getBackend()).toBe(selected.name);
    const order = ['tensorflow', 'webgpu', 'wasm'];
    expect(selected.skipped.map(({ backend }) => backend)).toEqual(order.slice(0, order.indexOf(selected.name)));
    for (const { reason } of selected.skipped) expect(reason.length).toBeGreaterThan(20);
    expect(selected.device).not.toBe('');
  });

  it('starts wasm by name, again and again, and computes there', async () => {
    for (let i = 0; i < 2; i++) {
      expect(await selectBackend('wasm')).toMatchObject({ name: 'wasm', skipped: [] });
      expect([...tf.add(tf.tensor1d([1, 2]), 1).dataSync()]).toEqual([2, 3]);
    }
  });

  it('leaves the process its own handling of errors', async () => {
    const count = () => process.listenerCount('uncaughtException') + process.listenerCount('unhandledRejection');
    const before = count();
    await selectBackend('wasm');
    expect(count()).toBe(before);
  });

  it('fails with the reason when the named backend is not there', async () => {
    const missing = (await listBackends()).filter(({ available }) => !available);
    for (const { name, reason } of missing) {
      const error = await selectBackend(name).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(RoundoffError);
      expect((error as RoundoffError).code).toBe('backend-unavailable');
      expect(reason).toContain((error as RoundoffError).hint);
    }
  });
});

describe('webgpu', () => {
  it('fails to read results once the GPU has rejected a command', async () => {
    const webgpu = (await listBackends()).find(({ name }) => name === 'webgpu');
    if (!webgpu?.available) {
      console.info(`webgpu is left out: ${webgpu?.reason}`);
      return;
    }
    await selectBackend('webgpu');
    expect([...(await tf.add(tf.tensor1d([1, 2]), 1).data())]).toEqual([2, 3]);
    expectGpuFailure();
    // One storage buffer per term, far beyond any device's limit for a shader.
    const sum = tf.addN(Array.from({ length: 200 }, () => tf.ones([4])));
    await expect(sum.data()).rejects.toThrow('the GPU rejected a command');
  });
});

describe('listBackends', () => {
  it('reports every backend, with a device or a reason', async () => {
    const backends = await listBackends();
    expect(backends.map(({ name }) => name)).toEqual(['tensorflow', 'webgpu', 'wasm']);
    for (const { available, device, reason } of backends) expect(available ? device : reason).toBeTruthy();
    expect(backends[2]).toMatchObject({ name: 'wasm', available: true });
  });
});

describe('readTensorflowPack', () => {
  it('says what is wrong until everything is there', () => {
    const folder = mkdtempSync(join(tmpdir(), 'runtime-pack-'));
    const pack = {
      format: packFormat,
      version: '2.21.0',
      variant: 'cpu',
      platform: `${process.platform}-${process.arch}`,
      wheel: 'a.whl',
      sha256: '00',
      installedAt: '2026-01-01T00:00:00.000Z',
      files: { 'tfjs_binding.node': 3 },
      cudaDirs: [],
    };
    const write = (value: unknown) => writeFileSync(join(folder, 'pack.json'), JSON.stringify(value));
    expect(() => readTensorflowPack(folder)).toThrow('is not installed');
    write({ ...pack, format: 99 });
    expect(() => readTensorflowPack(folder)).toThrow('pack.json cannot be read');
    write({ ...pack, platform: 'plan9-vax' });
    expect(() => readTensorflowPack(folder)).toThrow('made for plan9-vax');
    write(pack);
    expect(() => readTensorflowPack(folder)).toThrow('lib/tfjs_binding.node is missing');
    mkdirSync(join(folder, 'lib'));
    writeFileSync(join(folder, 'lib/tfjs_binding.node'), 'ab');
    expect(() => readTensorflowPack(folder)).toThrow('has 2 bytes, not 3');
    writeFileSync(join(folder, 'lib/tfjs_binding.node'), 'abc');
    expect(readTensorflowPack(folder)).toEqual(pack);
    rmSync(folder, { recursive: true });
  });
});
