/** The runtime packs of this installation, for the command line and the window alike: what is there, installing with progress, removing. */
import { RoundoffError } from '#contract/errors.ts';
import type { RuntimeProgress, RuntimeStatus } from '#contract/runtime.ts';
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
  private installation: AbortController | null = null;
  private readonly nodeFile: string;
  private readonly onProgress: (progress: RuntimeProgress) => void;

  constructor(nodeFile: string, onProgress: (progress: RuntimeProgress) => void) {
    this.nodeFile = nodeFile;
    this.onProgress = onProgress;
  }

  status(): RuntimeStatus {
    return { ...tensorflowStatus(), installing: this.installation !== null };
  }

  async install(options: Omit<InstallOptions, 'nodeFile' | 'signal' | 'onProgress'>): Promise<RuntimeStatus> {
    if (this.installation)
      throw new RoundoffError('bad-input', 'TensorFlow is being installed already.', 'Wait until it is done, or cancel it.');
    const installation = new AbortController();
    this.installation = installation;
    try {
      await installTensorflow({ ...options, nodeFile: this.nodeFile, signal: installation.signal, onProgress: this.onProgress });
    } finally {
      this.installation = null;
    }
    return this.status();
  }

  cancel(): void {
    this.installation?.abort();
  }

  async remove(): Promise<RuntimeStatus> {
    await removeTensorflow();
    return this.status();
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
