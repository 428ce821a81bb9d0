/**
 * Starts Pyodide as in a bare JavaScript shell: it finds no Node, so its file systems over host folders, its sockets and its ways to start
 * programs do not exist. What it calls random is always the same, so that a verdict never depends on chance.
 */
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';
import type { ChildRun, ChildSettings } from '../messages.ts';
import { pythonHarness } from './python-harness.ts';

export interface Interpreter {
  /** Why the program cannot be run, or null. */
  load(code: string, functionName: string | null): string | null;
  run(input: string): ChildRun;
  /** The memory of the interpreter, before any program. */
  snapshot(): Uint8Array;
}

interface Pyodide {
  globals: { get(name: string): PythonFunction; delete(name: string): void };
  runPython(code: string): unknown;
  setStdin(options: { read(buffer: Uint8Array): number }): void;
  setStdout(options: { write(buffer: Uint8Array): number }): void;
  setStderr(options: { write(buffer: Uint8Array): number }): void;
  makeMemorySnapshot(): Uint8Array;
}

type PythonFunction = (...values: (string | number | null)[]) => string;

export async function startInterpreter({ pyodideDir, snapshotFile, outputBytes }: ChildSettings): Promise<Interpreter> {
  const streams = new Streams(outputBytes);
  const pyodide = await loadPyodide(pyodideDir, snapshotFile);
  if (snapshotFile === null) {
    pyodide.runPython(pythonHarness);
    return { load: () => null, run: () => streams.result('fatal', null, null), snapshot: () => pyodide.makeMemorySnapshot() };
  }
  pyodide.setStdin({ read: (buffer) => streams.read(buffer) });
  pyodide.setStdout({ write: (buffer) => streams.write(buffer) });
  pyodide.setStderr({ write: (buffer) => buffer.length });
  const [load, run, seal] = ['_load', '_run', '_seal'].map((name) => pyodide.globals.get(name)) as [
    PythonFunction,
    PythonFunction,
    PythonFunction,
  ];
  seal();
  return {
    load: (code, functionName) => {
      const error = load(code, functionName ?? '');
      return error === '' ? null : error;
    },
    run: (input) => {
      streams.start(input);
      try {
        const { value, error } = JSON.parse(run(input, outputBytes)) as { value: string | null; error: string | null };
        if (streams.flooded || error === 'flooded') return streams.result('flooded', null, null);
        return streams.result(error === null ? 'returned' : 'raised', value, error);
      } catch (error) {
        return streams.flooded ? streams.result('flooded', null, null) : streams.result('fatal', null, String(error).slice(0, 200));
      }
    },
    snapshot: () => pyodide.makeMemorySnapshot(),
  };
}

/** Standard input and output of one test. */
class Streams {
  flooded = false;
  private readonly limit: number;
  private input: Uint8Array = new Uint8Array(0);
  private at = 0;
  private chunks: Uint8Array[] = [];
  private written = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  start(input: string): void {
    this.input = new TextEncoder().encode(input);
    this.at = 0;
    this.chunks = [];
    this.written = 0;
    this.flooded = false;
  }

  read(buffer: Uint8Array): number {
    const part = this.input.subarray(this.at, this.at + buffer.length);
    buffer.set(part);
    this.at += part.length;
    return part.length;
  }

  write(buffer: Uint8Array): number {
    this.written += buffer.length;
    this.flooded ||= this.written > this.limit;
    if (this.flooded) throw new Error('output limit');
    this.chunks.push(buffer.slice());
    return buffer.length;
  }

  result(outcome: ChildRun['outcome'], value: string | null, error: string | null): ChildRun {
    return { outcome, output: outcome === 'flooded' ? '' : Buffer.concat(this.chunks).toString('utf8'), value, error };
  }
}

async function loadPyodide(pyodideDir: string, snapshotFile: string | null): Promise<Pyodide> {
  const snapshot = snapshotFile === null ? { _makeSnapshot: true } : { _loadSnapshot: readFileSync(snapshotFile) };
  const place = `${pyodideDir}/`;
  pretendShell();
  const { default: createPyodideModule } = await import(pathToFileURL(`${place}pyodide.asm.mjs`).href);
  const { loadPyodide: start } = await import(pathToFileURL(`${place}pyodide.mjs`).href);
  registerHooks({
    resolve: (specifier) => {
      throw new Error(`no modules here (${specifier.slice(0, 40)})`);
    },
  });
  const pyodide = await start({
    indexURL: place,
    packageBaseUrl: '',
    createPyodideModule,
    lockFileContents: emptyLockFile(readFileSync(`${place}pyodide-lock.json`, 'utf8')),
    jsglobals: Object.create(null),
    stdin: () => null,
    stdout: () => {},
    stderr: () => {},
    env: { HOME: '/home/pyodide' },
    ...snapshot,
  });
  for (const name of ['read', 'load', 'readbuffer']) delete (globalThis as Record<string, unknown>)[name];
  return pyodide;
}

/** Nothing can be installed here, so no package is listed. */
function emptyLockFile(lockFile: string): string {
  return JSON.stringify({ ...(JSON.parse(lockFile) as object), packages: {} });
}

/** The globals by which Pyodide recognises a bare shell (Node's `process` is gone already), and all it may read: its own files, while it starts. */
function pretendShell(): void {
  let state = 1;
  const randomBytes = (count: number) => {
    const bytes = Buffer.alloc(count);
    for (let at = 0; at < count; at++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      bytes[at] = state >>> 24;
    }
    return bytes.toString('base64');
  };
  Object.assign(globalThis, {
    read: (file: string) => readFileSync(file, 'utf8'),
    readbuffer: (file: string) => readFileSync(file),
    load: () => undefined,
    scriptArgs: [],
    // A shell asks `head -c24 /dev/urandom | base64` for random bytes.
    os: {
      system: (_: string, [, command = '']: string[]) => randomBytes(Math.min(Number(/head -c(\d+)/.exec(command)?.[1] ?? 0), 65_536)),
    },
  });
}
