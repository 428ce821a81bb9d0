/** The memory of a decode engine: a WebAssembly memory that threads share. It never grows, so views over it stay valid. */

export interface SharedMemory {
  readonly buffer: SharedArrayBuffer;
}

/** The part of the WebAssembly interface used here; Node's types leave it out. */
interface WebAssemblyApi {
  Memory: new (limits: { initial: number; maximum: number; shared: true }) => SharedMemory;
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: { env: { memory: SharedMemory } }) => { exports: object };
}

const { WebAssembly } = globalThis as unknown as { WebAssembly: WebAssemblyApi };
const pageBytes = 65536;

export function createSharedMemory(sizeBytes: number): SharedMemory {
  const pages = Math.ceil(sizeBytes / pageBytes);
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}

/** Makes the system give all of a new memory now; it is zero before and after. */
export function touchPages({ buffer }: SharedMemory): void {
  const bytes = new Uint8Array(buffer);
  for (let at = 0; at < bytes.length; at += 4096) bytes[at] = 0;
}

export function compileModule(bytes: Uint8Array): object {
  return new WebAssembly.Module(bytes);
}

/** The exports of `module` working in `memory`. */
export function instantiate<Exports>(module: object, memory: SharedMemory): Exports {
  return new WebAssembly.Instance(module, { env: { memory } }).exports as Exports;
}
