/**
 * The memory of a started interpreter, made once for each version of Python, Node and our own code, and kept in the user's cache folder. Its
 * name holds its hash, so a damaged file is seen and made again.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import { writeFileAtomically } from '../formats/atomic-file.ts';
import type { SandboxFiles } from './files.ts';
import { type Isolation, launch } from './launcher.ts';
import { startMs } from './limits.ts';

/** Path of a snapshot whose hash is right. Throws `sandbox-unavailable`, and `read-only` or `disk-full` when it cannot be kept. */
export async function ensureSnapshot(files: SandboxFiles, isolation: Isolation, folder: string): Promise<string> {
  mkdirSync(folder, { recursive: true });
  const prefix = `python-${snapshotKey(files)}-`;
  for (const name of readdirSync(folder).filter((entry) => entry.startsWith(prefix) && entry.endsWith('.snapshot'))) {
    const path = join(folder, name);
    if (name === `${prefix}${sha256(readFileSync(path))}.snapshot`) {
      utimesSync(path, new Date(), new Date());
      return path;
    }
    rmSync(path, { force: true });
  }
  const bytes = await makeSnapshot(files, isolation);
  const path = join(folder, `${prefix}${sha256(bytes)}.snapshot`);
  await writeFileAtomically(path, (write) => write(bytes));
  removeUnused(folder);
  return path;
}

const unusedMs = 7 * 24 * 3_600_000;
/** A snapshot is Python's memory; ours has 30 MiB. */
const maxBytes = 256 * 2 ** 20;

function snapshotKey({ childCode, pyodideDir }: SandboxFiles): string {
  const hash = createHash('sha256')
    .update(process.version)
    .update(readFileSync(join(pyodideDir, 'package.json')));
  const isFolder = statSync(childCode).isDirectory();
  const sources = isFolder ? readdirSync(childCode).map((name) => join(childCode, name)) : [childCode];
  for (const source of sources.sort()) hash.update(readFileSync(source));
  return hash.digest('hex').slice(0, 16);
}

async function makeSnapshot(files: SandboxFiles, isolation: Isolation): Promise<Buffer> {
  const settings = {
    mode: 'snapshot' as const,
    pyodideDir: files.pyodideDir,
    snapshotFile: null,
    memoryBytes: maxBytes,
    outputBytes: 0,
    probe: null,
  };
  const child = launch({ files, settings, isolation, cpuSeconds: startMs / 1000 });
  const chunks: Buffer[] = [];
  let size = 0;
  let complaints = '';
  child.stdout!.on('data', (bytes: Buffer) => {
    size += bytes.length;
    if (size > maxBytes) child.kill('SIGKILL');
    else chunks.push(bytes);
  });
  child.stderr!.on('data', (bytes: Buffer) => {
    complaints = (complaints + bytes.toString('utf8')).slice(-500);
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), 2 * startMs);
  const code = await new Promise<number | null>((resolve) => {
    child.once('error', () => resolve(null));
    child.once('close', resolve);
  });
  clearTimeout(timer);
  if (code === 0 && size > 0) return Buffer.concat(chunks);
  const message = `Python could not be started to run code (${complaints.trim().split('\n').at(-1) || `exit code ${code}`}).`;
  throw new RoundoffError(
    'sandbox-unavailable',
    message,
    'Reinstall Roundoff, and free some memory; without the sandbox no code is scored.',
  );
}

function removeUnused(folder: string): void {
  for (const name of readdirSync(folder).filter((entry) => /^python-.*\.snapshot$/.test(entry))) {
    const path = join(folder, name);
    if (Date.now() - statSync(path).mtimeMs > unusedMs) rmSync(path, { force: true });
  }
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
