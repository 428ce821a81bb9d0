/**
 * Which kernels were measured to be fastest, by device and kind of product, kept in the user's folder for later runs. A file that cannot be
 * read, or is of another version, counts as empty and is written anew: it holds nothing but measurements.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { cacheFolder } from '../../../sandbox/files.ts';

/** Rises whenever kernels change so much that old measurements say nothing. */
const version = 1;
const fileName = 'gpu-products.json';

interface Stored {
  version: number;
  /** By device, then by kind of product: the name of the fastest kernel. */
  devices: Record<string, Record<string, string>>;
}

/** Where the file lies: `ROUNDOFF_HOME`, or the user's folder for files that can be made again. */
export function tuneFolder(environment: NodeJS.ProcessEnv = process.env): string {
  return environment.ROUNDOFF_HOME ? resolve(environment.ROUNDOFF_HOME) : cacheFolder(environment);
}

export function readWinners(folder: string, device: string): Map<string, string> {
  return new Map(Object.entries(read(folder).devices[device] ?? {}));
}

/** Adds to what the file holds now, since other processes write it too; it is replaced as a whole. */
export function writeWinners(folder: string, device: string, winners: ReadonlyMap<string, string>): void {
  const stored = read(folder);
  stored.devices[device] = { ...stored.devices[device], ...Object.fromEntries(winners) };
  mkdirSync(folder, { recursive: true });
  const file = join(folder, fileName);
  const temporary = `${file}.${process.pid}`;
  writeFileSync(temporary, JSON.stringify(stored));
  renameSync(temporary, file);
}

function read(folder: string): Stored {
  const empty: Stored = { version, devices: {} };
  let found: unknown;
  try {
    found = JSON.parse(readFileSync(join(folder, fileName), 'utf8'));
  } catch {
    return empty;
  }
  return isStored(found) ? found : empty;
}

function isStored(value: unknown): value is Stored {
  if (!isRecord(value) || value.version !== version || !isRecord(value.devices)) return false;
  return Object.values(value.devices).every(
    (winners) => isRecord(winners) && Object.values(winners).every((name) => typeof name === 'string'),
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
