/** Kernels of our own on the tensor library's device: operands, parameters, writing in place, many workgroups, time by kernel. */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../../src-main/engine/backends/select.ts';
import { bufferOf, dispatch, emptyTensor, flush, groupNumber, rowWindows } from '../../../../../src-main/engine/backends/webgpu/compute.ts';
import { gpu } from '../../../../../src-main/engine/backends/webgpu/device.ts';
import { timeKernels } from '../../../../../src-main/engine/backends/webgpu/timing.ts';
import { expectGpuFailure } from '../../../../support/gpu-health.ts';
import { testBackends } from '../../ops/op-check.ts';

const asTensor = (info: tf.TensorInfo) => tf.engine().makeTensorFromTensorInfo(info);

/** y = scale · x + shift, one invocation per value. */
function affine(x: tf.TensorInfo, y: tf.TensorInfo, scale: number, shift: number): void {
  const count = tf.util.sizeFromShape(x.shape);
  dispatch({
    name: 'test-affine',
    reads: { x },
    writes: { y },
    integers: { count, shift },
    floats: { scale },
    workgroups: Math.ceil(count / 64),
    code: () => `${groupNumber}
      @compute @workgroup_size(64) fn main(
        @builtin(workgroup_id) id : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>, @builtin(local_invocation_index) lane : u32
      ) {
        let place = groupNumber(id, groups) * 64u + lane;
        if (place < parameters.count) { y[place] = parameters.scale * x[place] + f32(parameters.shift); }
      }`,
  });
}

describe.skipIf(!testBackends.includes('webgpu'))('kernels of our own', () => {
  beforeAll(async () => {
    await selectBackend('webgpu');
  });

  it('mix with ops of the tensor library in the order they were called', async () => {
    const x = tf.tensor1d([1, 2, 3, 4, 5]);
    const doubled = tf.mul(x, 2);
    const y = emptyTensor([5]);
    affine(doubled, y, 10, 1);
    const z = tf.add(asTensor(y), 0.5);
    expect([...(await z.data())]).toEqual([21.5, 41.5, 61.5, 81.5, 101.5]);
  });

  it('keep parameters apart', async () => {
    const x = tf.tensor1d([1, 2]);
    const results = [1, 2, 3].map((scale) => {
      const y = emptyTensor([2]);
      affine(x, y, scale / 2, scale);
      return asTensor(y);
    });
    const values = await Promise.all(results.map(async (y) => [...(await y.data())]));
    expect(values).toEqual([
      [1.5, 2],
      [3, 4],
      [4.5, 6],
    ]);
  });

  it('write in place, and parts of a tensor as another type', async () => {
    const x = tf.tensor1d(Float32Array.from({ length: 128 }, (_, index) => index));
    dispatch({
      name: 'test-in-place',
      reads: {},
      writes: { x: { of: x, as: 'vec4<f32>', offset: 256 } },
      workgroups: 1,
      code: () => '@compute @workgroup_size(16) fn main(@builtin(local_invocation_index) i : u32) { x[i] = -x[i]; }',
    });
    expect([...(await x.data())]).toEqual(Array.from({ length: 128 }, (_, index) => (index < 64 ? index : -index)));
  });

  it('write in place into what has been read before', async () => {
    const x = tf.tensor1d([1, 2, 3, 4]);
    const y = tf.mul(x, 1);
    expect([...(await y.data())]).toEqual([1, 2, 3, 4]);
    for (const expected of [
      [3, 5, 7, 9],
      [5, 7, 9, 11],
    ]) {
      affine(x, y, 2, expected[0]! - 2);
      expect([...(await y.data())]).toEqual(expected);
    }
  });

  it('start more workgroups than one dimension holds', async () => {
    const count = 70_000 * 64;
    const x = tf.ones([count]);
    const y = emptyTensor([count]);
    affine(x, y, 3, 4);
    const sum = tf.sum(tf.cast(tf.notEqual(asTensor(y), 7), 'int32'));
    expect((await sum.data())[0]).toBe(0);
  });

  it('find pending uploads and what was recorded when a buffer is read elsewhere', async () => {
    const y = emptyTensor([4]);
    affine(tf.tensor1d([1, 2, 3, 4]), y, 1, 1);
    const buffer = bufferOf(y);
    flush();
    const { device, health } = gpu();
    const read = device.createBuffer({ size: 16, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, 0, read, 0, 16);
    device.queue.submit([encoder.finish()]);
    await health.wait(read.mapAsync(GPUMapMode.READ));
    expect([...new Float32Array(read.getMappedRange())]).toEqual([2, 3, 4, 5]);
  });

  it('are submitted early when much memory waits for it', async () => {
    const values = 2 ** 24;
    const x = tf.ones([values]);
    flush();
    const { tensorDataPendingDisposal: before } = tf.backend() as unknown as { tensorDataPendingDisposal: object[] };
    for (let i = 0; i < 5; i++) {
      const y = emptyTensor([values]);
      affine(x, y, 1, i);
      asTensor(y).dispose();
    }
    const { tensorDataPendingDisposal: after } = tf.backend() as unknown as { tensorDataPendingDisposal: object[] };
    expect(before.length).toBe(4);
    expect(after.length).toBe(0);
    x.dispose();
  });

  it('are timed by name', async () => {
    if (!gpu().timestamps) return;
    const x = tf.ones([1 << 16]);
    const { kernels, dropped } = await timeKernels(async () => {
      for (let i = 0; i < 3; i++) affine(x, emptyTensor([1 << 16]), i, 0);
      flush();
    });
    expect(dropped).toBe(0);
    expect(kernels).toMatchObject([{ name: 'test-affine', dispatches: 3 }]);
    expect(kernels[0]!.milliseconds).toBeGreaterThan(0);
  });

  it('split rows into windows that one binding holds', () => {
    const most = gpu().device.limits.maxStorageBufferBindingSize;
    expect(rowWindows(10, 1024)).toEqual([{ first: 0, rows: 10 }]);
    const rowBytes = 3 * 4;
    const rows = Math.ceil((2.5 * most) / rowBytes);
    const windows = rowWindows(rows, rowBytes);
    expect(windows.length).toBe(3);
    let next = 0;
    for (const window of windows) {
      expect(window.first).toBe(next);
      expect((window.first * rowBytes) % 256).toBe(0);
      expect(window.rows * rowBytes).toBeLessThanOrEqual(most);
      next += window.rows;
    }
    expect(next).toBe(rows);
  });

  it('fail a read after a shader that does not compile', async () => {
    expectGpuFailure();
    const x = tf.tensor1d([1]);
    expect(() =>
      dispatch({
        name: 'test-broken',
        reads: {},
        writes: { x },
        workgroups: 1,
        code: () => '@compute @workgroup_size(1) fn main() { x[0] = nothing; }',
      }),
    ).not.toThrow();
    await expect(x.data()).rejects.toThrow('the GPU rejected a command');
  });
});
