/** Where the sandbox's files are: the child's code, Pyodide, and the folder for what is made once. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RoundoffError } from '#contract/errors.ts';

export interface SandboxFiles {
  childEntry: string;
  /** What the child's code is made of: a folder of sources, or the built file. */
  childCode: string;
  pyodideDir: string;
}

/** Throws `sandbox-unavailable` naming what is missing. */
export function sandboxFiles(): SandboxFiles {
  const places = ['./child/index.ts', './sandbox-child.js', '../sandbox-child.js'];
  const paths = places.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  const childEntry = paths.find((path) => existsSync(path));
  if (!childEntry) throw missing(`the sandbox's own code is missing (looked for ${paths.join(', ')})`);
  const childCode = childEntry.endsWith('.ts') ? dirname(childEntry) : childEntry;
  const pyodideDir = dirname(createRequire(import.meta.url).resolve('pyodide/package.json'));
  for (const name of ['pyodide.mjs', 'pyodide.asm.mjs', 'pyodide.asm.wasm', 'python_stdlib.zip', 'pyodide-lock.json'])
    if (!existsSync(join(pyodideDir, name))) throw missing(`Python for WebAssembly is incomplete: ${join(pyodideDir, name)} is missing`);
  return { childEntry, childCode, pyodideDir };
}

/** The user's folder for files that can be made again. */
export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'roundoff');
  if (process.platform === 'win32') return join(environment.LOCALAPPDATA ?? join(homedir(), 'AppData', 'Local'), 'roundoff', 'cache');
  return join(environment.XDG_CACHE_HOME || join(homedir(), '.cache'), 'roundoff');
}

function missing(message: string): RoundoffError {
  return new RoundoffError('sandbox-unavailable', `Code cannot be run: ${message}.`, 'Reinstall Roundoff.');
}
