/** The runtime packs of this installation, for the command line and the window alike: what is there, installing with progress, removing. */
import { RoundoffError } from '#contract/errors.ts';
import type { HostEvent } from '#contract/records.ts';
import type { RuntimeStatus } from '#contract/runtime.ts';
import { readTensorflowPack, tensorflowPackDir } from '../engine/backends/tensorflow/pack.ts';
import { type InstallOptions, installTensorflow, removeTensorflow } from './install.ts';
import { platformTarget } from './platform.ts';

/** What is installed in this machine's runtime folder, and if not, whether it could be. */
export function tensorflowStatus(): Omit<RuntimeStatus, 'installing'> {
  const dir = tensorflowPackDir();
  try {
    const { version, variant, wheel, sha256, installedAt, files } = readTensorflowPack(dir);
    const sizeBytes = Object.values(files).reduce((sum, size) => sum + size, 0);
    return { name: 'tensorflow', dir, installed: { version, variant, wheel, sha256, sizeBytes, installedAt }, problem: null };
  } catch (error) {
    const missing = error instanceof RoundoffError && error.message.includes('is not installed');
    return { name: 'tensorflow', dir, installed: null, problem: missing ? unsupportedHere() : (error as Error).message };
  }
}

/** One installation at a time, cancellable. */
export class RuntimeService {
  private installation: { controller: AbortController; done: Promise<unknown> } | null = null;
  private readonly nodeFile: string;
  private readonly emit: (event: HostEvent) => void;

  constructor(nodeFile: string, emit: (event: HostEvent) => void) {
    this.nodeFile = nodeFile;
    this.emit = emit;
  }

  status(): RuntimeStatus {
    return { ...tensorflowStatus(), installing: this.installation !== null };
  }

  async install(options: Omit<InstallOptions, 'nodeFile' | 'signal' | 'onProgress'>): Promise<RuntimeStatus> {
    if (this.installation)
      throw new RoundoffError('bad-input', 'TensorFlow is being installed already.', 'Wait until it is done, or cancel it.');
    const controller = new AbortController();
    const onProgress: InstallOptions['onProgress'] = (progress) => this.emit({ type: 'runtime-progress', progress });
    const done = installTensorflow({ ...options, nodeFile: this.nodeFile, signal: controller.signal, onProgress });
    this.installation = { controller, done };
    try {
      await done;
    } finally {
      this.installation = null;
      this.announce();
    }
    return this.status();
  }

  cancel(): void {
    this.installation?.controller.abort();
  }

  /** Cancels an installation and waits until nothing of it is left. */
  async close(): Promise<void> {
    this.cancel();
    await this.installation?.done.catch(() => undefined);
  }

  async remove(): Promise<RuntimeStatus> {
    await removeTensorflow();
    return this.announce();
  }

  private announce(): RuntimeStatus {
    const status = this.status();
    this.emit({ type: 'runtime-changed', status });
    return status;
  }
}

function unsupportedHere(): string | null {
  try {
    platformTarget(false);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}
