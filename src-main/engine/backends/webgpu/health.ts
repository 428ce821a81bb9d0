/**
 * Whether the GPU still computes. WebGPU reports rejected commands, memory it could not give and a lost device out of band, and then goes on
 * with zeros or never answers; so whatever waits for the GPU waits through here, and fails with the first thing that went wrong.
 */
import { RoundoffError } from '#contract/errors.ts';

/** Longest wait for an answer; drivers of real GPUs give up on a dispatch long before. */
const patienceSeconds = { real: 120, software: 900 };
/** Sets it in seconds, for GPUs that take longer over one piece of work. */
const patienceVariable = 'ROUNDOFF_GPU_TIMEOUT';
/** After work has failed, until the device has said why. */
const explanationMs = 500;
const kept = 'Everything up to the last checkpoint is kept: start the run again';

export class GpuHealth {
  private readonly name: string;
  private readonly patience: number;
  private first: RoundoffError | null = null;
  private readonly failed: Promise<never>;
  private reject: (error: RoundoffError) => void = () => {};

  /** @param patience seconds. @throws RoundoffError `bad-input` for a `ROUNDOFF_GPU_TIMEOUT` that is no number of seconds */
  constructor(device: GPUDevice, { name, software, patience }: { name: string; software: boolean; patience?: number }) {
    this.name = name;
    this.patience = patience ?? chosenPatience() ?? (software ? patienceSeconds.software : patienceSeconds.real);
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
      const reason = message.replaceAll(/\s+/g, ' ').trim().replace(/\.$/, '') || 'the driver gave no reason';
      const remedy = `${kept}. If it happens again, update the GPU driver, lower the batch size, or choose the wasm backend.`;
      this.fail(new RoundoffError('gpu-lost', `The GPU ${this.name} was lost: ${reason}.`, remedy));
    });
  }

  /** The first thing that went wrong on the device. */
  get failure(): RoundoffError | null {
    return this.first;
  }

  /** @throws RoundoffError when something has gone wrong on the device */
  check(): void {
    if (this.first) throw this.first;
  }

  /**
   * The outcome of work that the GPU has been given. @throws RoundoffError when the device fails first, or has not answered in time
   */
  async wait<T>(work: Promise<T>): Promise<T> {
    this.check();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        this.fail(this.silence());
        reject(this.first);
      }, this.patience * 1000);
    });
    try {
      const value = await Promise.race([work, this.failed, late]);
      this.check();
      return value;
    } catch (error) {
      throw await this.explain(error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** What went wrong on the device, where that explains an error: work on a lost device fails before the loss is reported. */
  async explain(error: unknown): Promise<unknown> {
    if (error instanceof RoundoffError) return this.first ?? error;
    const pause = new Promise<void>((resolve) => setTimeout(resolve, explanationMs));
    await Promise.race([this.failed.catch(() => undefined), pause]);
    return this.first ?? error;
  }

  private fail(error: RoundoffError): void {
    if (this.first) return;
    this.first = error;
    this.reject(error);
  }

  private silence(): RoundoffError {
    const remedy = `${kept} with a smaller batch, restart the machine if the GPU hangs, or set ${patienceVariable} to more seconds where the GPU is only slow.`;
    return new RoundoffError('gpu-lost', `The GPU ${this.name} has not answered for ${this.patience} seconds.`, remedy);
  }

  private errorOf(error: GPUError): RoundoffError {
    if (error.constructor.name === 'GPUOutOfMemoryError') {
      return new RoundoffError(
        'out-of-memory',
        `The GPU ${this.name} has no memory left: ${error.message}`,
        'Lower the batch size or the number of slots, quantize the base weights, use activation checkpointing, or choose the wasm backend. Everything up to the last checkpoint is kept.',
      );
    }
    return new RoundoffError(
      'internal',
      `the GPU rejected a command: ${error.message}`,
      'Use the wasm backend, and please report this message.',
    );
  }
}

function chosenPatience(): number | null {
  const text = process.env[patienceVariable];
  if (!text) return null;
  const seconds = Number(text);
  if (seconds > 0 && Number.isFinite(seconds)) return seconds;
  throw new RoundoffError(
    'bad-input',
    `${patienceVariable} is "${text}", which is no number of seconds.`,
    `Set it to 300, say, or unset it.`,
  );
}
