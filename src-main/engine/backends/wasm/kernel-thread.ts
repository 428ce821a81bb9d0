/**
 * What a kernel thread runs. The function is started from its own source text, so it needs no file of its own in a bundle and may refer to
 * nothing outside itself, not even an import or `require`, which bundlers rewrite.
 */

/** Places in the control words, 32-bit each. */
export interface ControlWords {
  /** Rises with every call; threads sleep on it. */
  generation: number;
  /** 1 while a call may be joined. */
  open: number;
  /** Threads inside the call. */
  active: number;
  /** The next chunk to claim. */
  next: number;
  chunks: number;
  items: number;
  itemsPerChunk: number;
  kernel: number;
  argumentCount: number;
  /** 1 after a kernel trapped on a thread. */
  failed: number;
}

export interface ThreadSetup {
  thread: number;
  binary: Uint8Array;
  memory: object;
  /** Names of the kernels, in the order `kernel` counts. */
  kernelNames: string[];
  words: ControlWords;
  control: SharedArrayBuffer;
  /** Where the arguments, doubles, start in `control`. */
  argumentsOffset: number;
  maxArguments: number;
}

/** Waits for calls and helps with them, chunk by chunk, until the process ends. */
export function kernelThread(): void {
  const { workerData } = process.getBuiltinModule('node:worker_threads') as unknown as { workerData: ThreadSetup };
  const { thread, binary, memory, kernelNames, words, argumentsOffset, maxArguments } = workerData;
  const { WebAssembly } = globalThis as unknown as {
    WebAssembly: {
      Module: new (bytes: Uint8Array) => object;
      Instance: new (module: object, imports: object) => { exports: Record<string, (...numbers: number[]) => void> };
    };
  };
  const kernels = new WebAssembly.Instance(new WebAssembly.Module(binary), { env: { memory } }).exports;
  const control = new Int32Array(workerData.control, 0, argumentsOffset / 4);
  const values = new Float64Array(workerData.control, argumentsOffset, maxArguments);
  const help = () => {
    const kernel = kernels[kernelNames[control[words.kernel] as number] as string] as (...numbers: number[]) => void;
    const parameters = Array.from(values.subarray(0, control[words.argumentCount]));
    const chunks = control[words.chunks] as number;
    const items = control[words.items] as number;
    const size = control[words.itemsPerChunk] as number;
    for (let chunk = Atomics.add(control, words.next, 1); chunk < chunks; chunk = Atomics.add(control, words.next, 1)) {
      kernel(thread, chunk * size, Math.min(items, (chunk + 1) * size), ...parameters);
    }
  };
  let seen = 0;
  for (;;) {
    Atomics.wait(control, words.generation, seen);
    seen = Atomics.load(control, words.generation);
    Atomics.add(control, words.active, 1);
    try {
      if (Atomics.load(control, words.open) === 1) help();
    } catch {
      // A trap in a kernel; the calling thread reports it.
      Atomics.store(control, words.failed, 1);
    }
    if (Atomics.sub(control, words.active, 1) === 1) Atomics.notify(control, words.active);
  }
}
