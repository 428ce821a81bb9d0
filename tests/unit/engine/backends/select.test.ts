import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { RoundoffError } from '#contract/errors.ts';
import { listBackends, selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { requireRuntimePack } from '../../../../src-main/engine/backends/tensorflow/backend.ts';
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

describe('requireRuntimePack', () => {
  it('names what is missing until library and binding are there', () => {
    const folder = mkdtempSync(join(tmpdir(), 'runtime-pack-'));
    expect(() => requireRuntimePack(folder)).toThrow('not installed');
    mkdirSync(join(folder, 'deps/lib'), { recursive: true });
    writeFileSync(join(folder, 'deps/lib/libtensorflow_framework.so.2'), '');
    expect(() => requireRuntimePack(folder)).toThrow('incomplete');
    mkdirSync(join(folder, 'lib/napi-v8'), { recursive: true });
    writeFileSync(join(folder, 'lib/napi-v8/tfjs_binding.node'), '');
    expect(() => requireRuntimePack(folder)).not.toThrow();
    rmSync(folder, { recursive: true });
  });
});
