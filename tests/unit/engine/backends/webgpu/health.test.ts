/** What is said of a GPU that fails, and that waiting for it ends. */
import { describe, expect, it } from 'vitest';
import { GpuHealth } from '../../../../../src-main/engine/backends/webgpu/health.ts';

/** The parts of a device that report what goes wrong. */
function fakeDevice() {
  let lose: (info: { message: string }) => void = () => undefined;
  const lost = new Promise((resolve) => (lose = resolve));
  const device = Object.assign(new EventTarget(), { lost }) as unknown as GPUDevice;
  const report = (error: Error) => device.dispatchEvent(Object.assign(new Event('uncapturederror'), { error }));
  return { device, lose, report };
}

class GPUOutOfMemoryError extends Error {}
class GPUValidationError extends Error {}

const never = new Promise<never>(() => undefined);
const settings = { name: 'Test GPU', software: false };

describe('the health of a GPU', () => {
  it('lets work through while all is well', async () => {
    const health = new GpuHealth(fakeDevice().device, settings);
    expect(await health.wait(Promise.resolve(7))).toBe(7);
    expect(health.failure).toBeNull();
    expect(await health.explain('a defect')).toBe('a defect');
  });

  it('says why work fails whose device is lost, also when the loss is reported later', async () => {
    const { device, lose } = fakeDevice();
    const health = new GpuHealth(device, settings);
    const failing = health.wait(Promise.reject(new Error('AbortError')));
    setTimeout(() => lose({ message: 'Device reset\n by the driver.' }), 50);
    await expect(failing).rejects.toMatchObject({ code: 'gpu-lost', message: 'The GPU Test GPU was lost: Device reset by the driver.' });
    expect(() => health.check()).toThrow('was lost');
  });

  it('ends a wait that is never answered, and names the way to wait longer', async () => {
    const health = new GpuHealth(fakeDevice().device, { ...settings, patience: 0.05 });
    await expect(health.wait(never)).rejects.toMatchObject({
      code: 'gpu-lost',
      message: 'The GPU Test GPU has not answered for 0.05 seconds.',
      hint: expect.stringContaining('ROUNDOFF_GPU_TIMEOUT'),
    });
  });

  it('keeps the first of several failures, and fails what is waited for', async () => {
    const { device, report } = fakeDevice();
    const health = new GpuHealth(device, settings);
    const waiting = health.wait(never);
    report(new GPUOutOfMemoryError('8 GB'));
    report(new GPUValidationError('follows from it'));
    await expect(waiting).rejects.toMatchObject({ code: 'out-of-memory', message: 'The GPU Test GPU has no memory left: 8 GB' });
    await expect(health.wait(Promise.resolve(1))).rejects.toMatchObject({ code: 'out-of-memory' });
  });

  it('refuses a time-out that is no number of seconds', () => {
    process.env.ROUNDOFF_GPU_TIMEOUT = 'long';
    try {
      expect(() => new GpuHealth(fakeDevice().device, settings)).toThrow('no number of seconds');
    } finally {
      delete process.env.ROUNDOFF_GPU_TIMEOUT;
    }
  });
});
