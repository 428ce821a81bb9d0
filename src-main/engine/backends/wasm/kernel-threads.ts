/**
 * Spreads a kernel call over the cores. Work is cut into chunks of items that write to separate places, so results do not depend on which
 * thread takes which chunk. Threads sleep between calls; the calling thread always works too and never waits for one that has not joined.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { RoundoffError } from '#contract/errors.ts';
import { type ControlWords, kernelThread, type ThreadSetup } from './kernel-thread.ts';

type Kernel = (...numbers: number[]) => void;

const words: ControlWords = {
  generation: 0,
  open: 1,
  active: 2,
  next: 3,
  chunks: 4,
  items: 5,
  itemsPerChunk: 6,
  kernel: 7,
  argumentCount: 8,
  failed: 9,
};
const argumentsOffset = 64;
const maxArguments = 24;
/** Looks at the last joined threads this often before sleeping on them; they are at most one chunk from done. */
const looks = 2000;

/** Threads that may run a kernel, this one included; kernels size their scratch by it. */
export const kernelThreads = Math.max(1, Math.min(16, availableParallelism()));

export class KernelThreads {
  private readonly kernels: Record<string, Kernel>;
  private readonly names: string[];
  private readonly control: Int32Array;
  private readonly values: Float64Array;

  /** Starts the threads, on the module `binary` in `memory`; `kernels` are this thread's own instance of it. */
  constructor(binary: Uint8Array, memory: object, kernels: Record<string, Kernel>) {
    this.kernels = kernels;
    this.names = Object.keys(kernels);
    const shared = new SharedArrayBuffer(argumentsOffset + 8 * maxArguments);
    this.control = new Int32Array(shared, 0, argumentsOffset / 4);
    this.values = new Float64Array(shared, argumentsOffset, maxArguments);
    for (let thread = 1; thread < kernelThreads; thread++) {
      const setup = { thread, binary, memory, kernelNames: this.names, words, control: shared, argumentsOffset, maxArguments };
      const worker = new Worker(`(${kernelThread.toString()})()`, { eval: true, workerData: setup satisfies ThreadSetup });
      worker.unref();
    }
  }

  /** Runs kernel(thread, from, to, ...parameters) over `items` in chunks of `itemsPerChunk`; returns when all are done. */
  run(name: string, items: number, itemsPerChunk: number, parameters: number[]): void {
    const kernel = this.kernels[name]!;
    const chunks = Math.ceil(items / itemsPerChunk);
    if (chunks <= 1 || kernelThreads === 1) {
      if (items > 0) kernel(0, 0, items, ...parameters);
      return;
    }
    const { control } = this;
    control[words.kernel] = this.names.indexOf(name);
    control[words.chunks] = chunks;
    control[words.items] = items;
    control[words.itemsPerChunk] = itemsPerChunk;
    control[words.argumentCount] = parameters.length;
    this.values.set(parameters);
    control[words.failed] = 0;
    Atomics.store(control, words.next, 0);
    Atomics.store(control, words.open, 1);
    Atomics.add(control, words.generation, 1);
    Atomics.notify(control, words.generation, chunks - 1);
    try {
      for (let chunk = Atomics.add(control, words.next, 1); chunk < chunks; chunk = Atomics.add(control, words.next, 1)) {
        kernel(0, chunk * itemsPerChunk, Math.min(items, (chunk + 1) * itemsPerChunk), ...parameters);
      }
    } finally {
      Atomics.store(control, words.open, 0);
      this.awaitJoined();
    }
    if (Atomics.load(control, words.failed) === 1) {
      throw new RoundoffError('internal', `the kernel ${name} reached outside the heap`, 'This is a defect in Roundoff; please report it.');
    }
  }

  private awaitJoined(): void {
    const { control } = this;
    for (let look = 0; look < looks; look++) if (Atomics.load(control, words.active) === 0) return;
    for (let active = Atomics.load(control, words.active); active > 0; active = Atomics.load(control, words.active)) {
      Atomics.wait(control, words.active, active);
    }
  }
}
