/**
 * Takes away what a program that broke out of Python would look for first. None of this is a wall (the process's permissions are); it
 * leaves less to stand on.
 */

interface WasmMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}

/** Memory of WebAssembly grows to `limitBytes` and no further: Python then raises MemoryError. */
export function capMemory(limitBytes: number): void {
  const { Memory } = (globalThis as unknown as { WebAssembly: { Memory: { prototype: WasmMemory } } }).WebAssembly;
  const { grow } = Memory.prototype;
  const pageBytes = 65_536;
  Memory.prototype.grow = function (this: WasmMemory, pages: number): number {
    if (this.buffer.byteLength + pages * pageBytes > limitBytes) throw new RangeError('memory limit');
    return grow.call(this, pages);
  };
}

/** Ways out of `process` that the permission model does not cover: other processes could be signalled through it. */
export function closeProcess(): void {
  const keep = new Set([
    'reallyExit',
    'versions',
    'version',
    'argv',
    'platform',
    'arch',
    'nextTick',
    'emit',
    'emitWarning',
    'exitCode',
    'on',
  ]);
  const target = process as unknown as Record<string, unknown>;
  for (const name of Object.getOwnPropertyNames(process)) {
    if (keep.has(name) || typeof target[name] !== 'function') continue;
    Object.defineProperty(process, name, { value: undefined, writable: true, configurable: true });
  }
  delete (globalThis as { process?: unknown }).process;
}

/** Once the interpreter runs: no compiling of text, no new names on prototypes, no network or timers by name. */
export function closeRealm(): void {
  const functions = [() => {}, async () => {}, function* () {}, async function* () {}];
  for (const example of functions) {
    Object.defineProperty(Object.getPrototypeOf(example), 'constructor', { value: undefined, writable: false, configurable: false });
  }
  for (const holder of [Object, Function, Array, String, Number, RegExp, Error, Promise, Map, Set, Uint8Array, ArrayBuffer]) {
    Object.preventExtensions(holder.prototype);
    Object.preventExtensions(holder);
  }
  for (const name of Object.getOwnPropertyNames(globalThis)) {
    if (!needed.has(name)) Reflect.deleteProperty(globalThis, name);
  }
}

/** What the interpreter reaches for by name while it runs. */
const needed = new Set([
  ...[
    'Object',
    'Function',
    'Array',
    'String',
    'Number',
    'Boolean',
    'Symbol',
    'BigInt',
    'Math',
    'JSON',
    'Date',
    'RegExp',
    'Reflect',
    'Proxy',
  ],
  ...['Map', 'Set', 'WeakMap', 'WeakSet', 'WeakRef', 'FinalizationRegistry', 'Promise', 'Iterator', 'Atomics', 'DataView', 'ArrayBuffer'],
  ...[
    'Int8Array',
    'Uint8Array',
    'Uint8ClampedArray',
    'Int16Array',
    'Uint16Array',
    'Int32Array',
    'Uint32Array',
    'Float32Array',
    'Float64Array',
  ],
  ...['BigInt64Array', 'BigUint64Array', 'Error', 'TypeError', 'RangeError', 'SyntaxError', 'ReferenceError', 'EvalError', 'URIError'],
  ...['AggregateError', 'WebAssembly', 'TextDecoder', 'TextEncoder', 'Buffer', 'performance', 'globalThis', 'undefined', 'NaN', 'Infinity'],
  ...[
    'parseInt',
    'parseFloat',
    'isNaN',
    'isFinite',
    'DOMException',
    'console',
    'os',
    'SharedArrayBuffer',
    'AbortController',
    'AbortSignal',
  ],
]);
