/** What a wheel says about itself (its name, version, platforms, and the sha256 of every file), and taking files out of it. */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { Transform } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { RoundoffError } from '#contract/errors.ts';
import { writeError } from '../engine/formats/atomic-file.ts';
import { openZip, readEntry, type ZipArchive, type ZipEntry } from './zip-reader.ts';

export interface Wheel {
  archive: ZipArchive;
  /** As in `tensorflow_cpu`. */
  name: string;
  version: string;
  /** As in `manylinux_2_27_x86_64`. */
  platforms: string[];
  /** sha256 in base64url of every file. */
  hashes: ReadonlyMap<string, string>;
}

/** @throws RoundoffError `bad-input` when the file is torn or no wheel. */
export async function openWheel(file: string): Promise<Wheel> {
  const archive = await openZip(file);
  const info = [...archive.entries.keys()].find((name) => /^[^/]+\.dist-info\/RECORD$/.test(name));
  if (!info)
    throw new RoundoffError('bad-input', `${file} is not a Python wheel: it has no RECORD.`, 'Give the .whl file as it was published.');
  const folder = path.posix.dirname(info);
  const [name = '', version = ''] = folder.slice(0, -'.dist-info'.length).split('-');
  const tags = await textOf(archive, `${folder}/WHEEL`);
  const platforms = [...tags.matchAll(/^Tag: [^-\s]+-[^-\s]+-(\S+)$/gm)].flatMap(([, platform = '']) => platform.split('.'));
  return { archive, name: name.toLowerCase(), version, platforms, hashes: parseRecord(await textOf(archive, info)) };
}

export interface Extraction {
  signal?: AbortSignal;
  onBytes?(count: number): void;
}

/** Writes one file of the wheel to `target` and checks it against the wheel's record. @throws RoundoffError `bad-input` on a mismatch. */
export async function extractFile(wheel: Wheel, name: string, target: string, { signal, onBytes }: Extraction = {}): Promise<void> {
  const { archive, hashes } = wheel;
  const hash = createHash('sha256');
  const counted = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      hash.update(chunk);
      onBytes?.(chunk.length);
      done(null, chunk);
    },
  });
  await mkdir(path.dirname(target), { recursive: true });
  try {
    await pipeline(await readEntry(archive, entryOf(archive, name), signal), counted, createWriteStream(target), { signal });
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    if (typeof code !== 'string' || !code.startsWith('Z_')) throw writeError(target, error);
    throw damaged(archive.file, name, error);
  }
  if (hash.digest('base64url') !== hashes.get(name)) throw damaged(archive.file, name);
}

function parseRecord(record: string): Map<string, string> {
  const hashes = new Map<string, string>();
  for (const line of record.split(/\r?\n/)) {
    const found = /^"?(.+?)"?,sha256=([\w-]+)=*,\d*$/.exec(line);
    if (found) hashes.set(found[1]!, found[2]!);
  }
  return hashes;
}

async function textOf(archive: ZipArchive, name: string): Promise<string> {
  return text(await readEntry(archive, entryOf(archive, name)));
}

function entryOf({ file, entries }: ZipArchive, name: string): ZipEntry {
  const entry = entries.get(name);
  if (!entry)
    throw new RoundoffError('bad-input', `${file} holds no ${name}.`, 'Give a TensorFlow wheel for this platform, as it was published.');
  return entry;
}

function damaged(file: string, name: string, cause?: unknown): RoundoffError {
  return new RoundoffError('bad-input', `${file} is damaged: ${name} is not what the wheel's record says.`, 'Download the wheel again.', {
    cause,
  });
}
