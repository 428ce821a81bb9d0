/** What is counted of the GPU's memory, what is refused, and that the tensor library's pool gives back what it does not use. */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../../src-main/engine/backends/select.ts';
import { gpu } from '../../../../../src-main/engine/backends/webgpu/device.ts';
import { GpuMemory, gpuMemoryBudget } from '../../../../../src-main/engine/backends/webgpu/memory.ts';
import { testBackends } from '../../ops/op-check.ts';

describe.skipIf(!testBackends.includes('webgpu'))('memory of the GPU', () => {
  beforeAll(async () => {
    await selectBackend('webgpu');
  });

  /** A device whose buffers are real, and their accounting. */
  function counted(budgetBytes: number | null) {
    const { device } = gpu();
    const memory = new GpuMemory('Test GPU', budgetBytes);
    const own = { createBuffer: (descriptor: GPUBufferDescriptor) => device.createBuffer(descriptor) } as GPUDevice;
    memory.watch(own);
    return { memory, make: (size: number, usage = GPUBufferUsage.STORAGE) => own.createBuffer({ size, usage }) };
  }

  it('is counted until a buffer is destroyed, once', () => {
    const { memory, make } = counted(null);
    const [a, b] = [make(1000), make(2000)];
    expect(memory.heldBytes).toBe(3000);
    a.destroy();
    a.destroy();
    expect([memory.heldBytes, memory.usedBytes, memory.peakBytes]).toEqual([2000, 2000, 3000]);
    memory.resetPeak();
    expect(memory.peakBytes).toBe(2000);
    b.destroy();
    expect(memory.heldBytes).toBe(0);
  });

  it('does not count buffers that the processor maps', () => {
    const { memory, make } = counted(500);
    make(1000, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST).destroy();
    expect(memory.heldBytes).toBe(0);
  });

  it('is refused beyond the budget, naming what was asked for, what is held and the remedy', () => {
    const { memory, make } = counted(2_000_000_000);
    const held = make(600_000_000);
    expect(() => make(1_500_000_000)).toThrow(
      expect.objectContaining({
        code: 'out-of-memory',
        message: 'The GPU Test GPU cannot hold 1.5 GB more: 0.6 GB of the 2.0 GB that this process may use are in use.',
        hint: expect.stringContaining('ROUNDOFF_GPU_MEMORY'),
      }),
    );
    held.destroy();
    expect(memory.heldBytes).toBe(0);
  });

  it('is given back by the pool when an allocation needs it, while tensors keep theirs', async () => {
    const { memory, device } = gpu();
    const kept = tf.ones([1000]);
    await kept.data();
    for (let i = 1; i <= 8; i++) {
      const x = tf.tidy(() => tf.add(tf.ones([100_000 + i]), 1));
      await x.data();
      x.dispose();
    }
    const { heldBytes, usedBytes } = memory;
    expect(heldBytes - usedBytes).toBeGreaterThan(8 * 400_000);
    Object.assign(memory, { budgetBytes: heldBytes });
    try {
      const large = device.createBuffer({ size: 2_000_000, usage: GPUBufferUsage.STORAGE });
      expect(memory.heldBytes).toBe(memory.usedBytes);
      expect(memory.heldBytes).toBeLessThan(usedBytes + 2_000_001);
      large.destroy();
      const sum = tf.add(kept, tf.ones([1000]));
      expect((await sum.data())[999]).toBe(2);
      tf.dispose([sum, kept]);
    } finally {
      Object.assign(memory, { budgetBytes: null });
    }
  });

  it('has a budget on this machine, which ROUNDOFF_GPU_MEMORY replaces', async () => {
    const adapter = { info: { device: 'none', description: 'none' } } as unknown as GPUAdapter;
    expect(gpuMemoryBudget(adapter, { software: true })).toBeGreaterThan(1e8);
    process.env.ROUNDOFF_GPU_MEMORY = '8';
    try {
      expect(gpuMemoryBudget(adapter, { software: true })).toBe(8e9);
      process.env.ROUNDOFF_GPU_MEMORY = 'much';
      expect(() => gpuMemoryBudget(adapter, { software: true })).toThrow('no number of GB');
    } finally {
      delete process.env.ROUNDOFF_GPU_MEMORY;
    }
  });
});
