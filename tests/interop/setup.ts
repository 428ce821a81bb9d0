/** What scripts/interop/setup.mjs found or installed, and running something in it. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { temporaryFolder } from '../support/temporary-folder.ts';

const temporary = temporaryFolder('interop');

interface Setup {
  python: string | null;
  /** Versions of the Python modules that load. */
  modules: Record<string, string>;
  /** Why the others do not. */
  missing: Record<string, string>;
  llamaDir: string | null;
  llamaReason?: string;
}

const root = path.resolve(import.meta.dirname, '../..');
const setupFile = path.join(root, '.cache/interop/setup.json');
const notRun = 'run these tests with "npm run test:interop", which installs what they need';

export const setup: Setup = existsSync(setupFile)
  ? (JSON.parse(readFileSync(setupFile, 'utf8')) as Setup)
  : { python: null, modules: {}, missing: {}, llamaDir: null, llamaReason: notRun };

/** Why Python cannot be asked with these modules; null when it can. */
export function withoutPython(modules: readonly string[]): string | null {
  if (!existsSync(setupFile)) return notRun;
  const name = modules.find((module) => !setup.modules[module]);
  return name === undefined ? null : `no ${name}: ${setup.missing[name] ?? 'not installed'}`;
}

/** Where a script's files are, and how it ended. */
export interface Finished {
  dir: string;
  /** Null for a good end; else its last words. */
  failure: string | null;
}

/** Runs a script of this folder, which reads `request.json` in the folder it is given and writes its answers there. */
export function runPython(script: string, request: object): Finished {
  return runScript(setup.python!, path.join(import.meta.dirname, script), request);
}

/** The same for the script that runs node-llama-cpp, in a process of its own because native code may abort. */
export function runLlama(request: object): Finished {
  return runScript(process.execPath, path.join(import.meta.dirname, 'llama-child.mjs'), { ...request, llamaDir: setup.llamaDir });
}

function runScript(program: string, script: string, request: object): Finished {
  const dir = mkdtempSync(path.join(temporary, 'asked-'));
  writeFileSync(path.join(dir, 'request.json'), JSON.stringify(request));
  const { status, signal, stderr, stdout } = spawnSync(program, [script, dir], {
    encoding: 'utf8',
    timeout: 1_800_000,
    maxBuffer: 1 << 28,
  });
  const lines = `${stdout}\n${stderr}`.split('\n').filter((line) => line.trim() !== '');
  return { dir, failure: status === 0 ? null : `${path.basename(script)} ended with ${signal ?? status}: ${lines.slice(-25).join('\n')}` };
}

/** A JSON answer; throws with the script's last words when it is missing. */
export function readAnswer<T>({ dir, failure }: Finished, name: string): T {
  const file = path.join(dir, name);
  if (!existsSync(file)) throw new Error(failure ?? `no ${name} was written`);
  return JSON.parse(readFileSync(file, 'utf8')) as T;
}

/** Float32 values a script wrote beside its response. */
export function readFloats(dir: string, name: string): Float32Array {
  return new Float32Array(Uint8Array.from(readFileSync(path.join(dir, name))).buffer);
}
