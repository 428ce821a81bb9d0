/** What scripts/interop/setup.mjs found or installed, and running something in it. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

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

/** Runs a script of this folder with a request; what it wrote to `response.json` in the folder it was given. Throws with its last words. */
export function runPython<T>(script: string, request: object): { response: T; dir: string } {
  return runScript<T>(setup.python!, path.join(import.meta.dirname, script), request);
}

/** The same for a script that runs node-llama-cpp, in a process of its own: its native code may abort. */
export function runLlama<T>(request: object): { response: T; dir: string } {
  return runScript<T>(process.execPath, path.join(import.meta.dirname, 'llama-child.mjs'), { ...request, llamaDir: setup.llamaDir });
}

function runScript<T>(program: string, script: string, request: object): { response: T; dir: string } {
  const dir = mkdtempSync(path.join(tmpdir(), 'roundoff-interop-'));
  writeFileSync(path.join(dir, 'request.json'), JSON.stringify(request));
  const { status, signal, stderr, stdout } = spawnSync(program, [script, dir], { encoding: 'utf8', timeout: 600_000 });
  if (status !== 0) {
    const lines = `${stdout}\n${stderr}`.split('\n').filter((line) => line.trim() !== '');
    throw new Error(`${path.basename(script)} ended with ${signal ?? status}: ${lines.slice(-25).join('\n')}`);
  }
  return { response: JSON.parse(readFileSync(path.join(dir, 'response.json'), 'utf8')) as T, dir };
}

/** Float32 values a script wrote beside its response. */
export function readFloats(dir: string, name: string): Float32Array {
  return new Float32Array(Uint8Array.from(readFileSync(path.join(dir, name))).buffer);
}
