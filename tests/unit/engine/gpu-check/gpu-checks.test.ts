/** Every registered check of a GPU kernel, on the software adapter. */
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { listBackends, selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { deviation } from '../../../../src-main/engine/gpu-check/check.ts';
import { gpuChecks } from '../../../../src-main/engine/gpu-check/index.ts';

const webgpu = (await listBackends()).find(({ name }) => name === 'webgpu');
if (!webgpu?.available) console.info(`The GPU checks are left out: ${webgpu?.reason}`);

describe('the registry', () => {
  it('names every check once', () => {
    expect(new Set(gpuChecks.map(({ name }) => name)).size).toBe(gpuChecks.length);
  });

  it('lets no check pass on values that are missing, too many or no numbers', () => {
    expect(deviation([1, 2], [1, 2])).toBe(0);
    expect(deviation([1, 4], [1, 3])).toBe(0.25);
    expect(deviation([1], [1, 2])).toBe(Number.POSITIVE_INFINITY);
    expect(deviation([1, 2, 3], [1, 2])).toBe(Number.POSITIVE_INFINITY);
    expect(deviation([Number.NaN], [1])).toBe(Number.POSITIVE_INFINITY);
  });
});

describe.skipIf(!webgpu?.available)('on the software adapter', () => {
  it.each(gpuChecks.map((check) => [check.name, check] as const))('%s', async (_, check) => {
    await selectBackend('webgpu');
    const before = tf.memory().numTensors;
    const result = await check.run();
    if (result) expect(result.maxError).toBeLessThanOrEqual(result.tolerance);
    expect(tf.memory().numTensors).toBe(before);
  });
});
