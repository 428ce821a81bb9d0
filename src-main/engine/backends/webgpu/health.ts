/**
 * Whether the GPU still computes. WebGPU reports rejected commands, memory it could not give and a lost device out of band, and then goes on
 * with zeros or never answers; so whatever waits for the GPU waits through here, and fails with the first thing that went wrong.
 */
import { RoundoffError } from '#contract/errors.ts';

/** Longest wait for an answer; drivers of real GPUs give up on a dispatch long before. */
const patienceMs = { real: 120_000, software: 900_000 };

export class GpuHealth {
  private readonly name: string;
  private readonly patience: number;
  private failure: RoundoffError | undefined;
  private readonly failed: Promise<never>;
  private reject: (error: RoundoffError) => void = () => {};

  constructor(device: GPUDevice, { name, software, patience }: { name: string; software: boolean; patience?: number }) {
    this.name = name;
    this.patience = patience ?? (software ? patienceMs.software : patienceMs.real);
    this.failed = new Promise((_, reject) => {
      this.reject = reject;
    });
    // Waiting for it is optional; a failure nobody waits for shows at the next check.
    this.failed.catch(() => {});
    device.addEventListener('uncapturederror', (event) => {
      event.preventDefault();
      this.fail(this.errorOf(event.error));
    });
    void device.lost.then(({ message }) => {
      this.fail(
        new RoundoffError(
          'backend-unavailable',
          `The GPU ${this.name} was lost: ${message || 'the driver gave no reason'}.`,
          'Everything up to the last checkpoint is kept: start the run again. If it happens again, update the GPU driver, lower the batch size, or choose the wasm backend.',
        ),
      );
    });
  }

  /** @throws RoundoffError when something has gone wrong on the device */
  check(): void {
    if (this.failure) throw this.failure;
  }

  /**
   * The outcome of work that the GPU has been given. @throws RoundoffError when the device fails first, or has not answered in time
   */
  async wait<T>(work: Promise<T>): Promise<T> {
    this.check();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const error = new RoundoffError(
          'backend-unavailable',
          `The GPU ${this.name} has not answered for ${this.patience / 1000} seconds.`,
          'Everything up to the last checkpoint is kept: start the run again with a smaller batch, or restart the machine if the GPU hangs.',
        );
        this.fail(error);
        reject(error);
      }, this.patience);
    });
    try {
      const value = await Promise.race([work, this.failed, late]);
      this.check();
      return value;
    } catch (error) {
      this.check();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  private fail(error: RoundoffError): void {
    if (this.failure) return;
    this.failure = error;
    this.reject(error);
  }

  private errorOf(error: GPUError): RoundoffError {
    if (error.constructor.name === 'GPUOutOfMemoryError') {
      return new RoundoffError(
        'out-of-memory',
        `The GPU ${this.name} has no memory left: ${error.message}`,
        'Lower the batch size or the number of slots, quantize the base weights, use activation checkpointing, or choose the wasm backend.',
      );
    }
    return new RoundoffError(
      'internal',
      `the GPU rejected a command: ${error.message}`,
      'Use the wasm backend, and please report this message.',
    );
  }
}
