/** Reads single files out of a zip archive, streamed: the archive's directory first, then only the parts that are asked for. */
import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { createInflateRaw } from 'node:zlib';
import { RoundoffError } from '#contract/errors.ts';

export interface ZipEntry {
  name: string;
  compressed: boolean;
  compressedBytes: number;
  sizeBytes: number;
  /** Of the entry's own header, before its data. */
  headerAt: number;
}

export interface ZipArchive {
  file: string;
  entries: ReadonlyMap<string, ZipEntry>;
}

const endSignature = 0x06054b50;
const directorySignature = 0x02014b50;
const entrySignature = 0x04034b50;
const endBytes = 22;
const directoryBytes = 46;
const entryBytes = 30;
const longestComment = 0xffff;

/** Reads the archive's directory. @throws RoundoffError `bad-input` when the file is no whole zip archive. */
export async function openZip(file: string): Promise<ZipArchive> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const { offset, length, count } = await findDirectory(handle, file, size);
    return { file, entries: parseDirectory(file, await readAt(handle, offset, length), count) };
  } finally {
    await handle.close();
  }
}

/** The content of an entry. */
export async function readEntry({ file }: ZipArchive, entry: ZipEntry, signal?: AbortSignal): Promise<Readable> {
  const handle = await open(file, 'r');
  let start: number;
  try {
    const header = await readAt(handle, entry.headerAt, entryBytes);
    if (header.length < entryBytes || header.readUInt32LE(0) !== entrySignature)
      throw torn(file, `no entry ${entry.name} where it should be`);
    start = entry.headerAt + entryBytes + header.readUInt16LE(26) + header.readUInt16LE(28);
  } finally {
    await handle.close();
  }
  const raw = createReadStream(file, { start, end: start + Math.max(entry.compressedBytes, 1) - 1, highWaterMark: 1 << 20, signal });
  if (!entry.compressed) return raw;
  const inflated = createInflateRaw({ chunkSize: 1 << 20 });
  raw.on('error', (error) => inflated.destroy(error));
  return raw.pipe(inflated);
}

async function findDirectory(handle: FileHandle, file: string, size: number): Promise<{ offset: number; length: number; count: number }> {
  const tailBytes = Math.min(size, endBytes + longestComment);
  const tail = await readAt(handle, size - tailBytes, tailBytes);
  for (let at = tail.length - endBytes; at >= 0; at--) {
    if (tail.readUInt32LE(at) !== endSignature) continue;
    const [count, length, offset] = [tail.readUInt16LE(at + 10), tail.readUInt32LE(at + 12), tail.readUInt32LE(at + 16)];
    if (count === 0xffff || offset === 0xffffffff)
      throw new RoundoffError('unsupported', `${file} is a zip64 archive.`, 'Give a wheel of less than 4 GB.');
    if (offset + length <= size) return { offset, length, count };
  }
  throw torn(file, 'it has no directory at its end');
}

function parseDirectory(file: string, bytes: Buffer, count: number): Map<string, ZipEntry> {
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + directoryBytes > bytes.length || bytes.readUInt32LE(at) !== directorySignature) throw torn(file, 'its directory is damaged');
    const method = bytes.readUInt16LE(at + 10);
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((field) => bytes.readUInt16LE(at + field)) as [number, number, number];
    const name = bytes.toString('utf8', at + directoryBytes, at + directoryBytes + nameBytes);
    if (method !== 0 && method !== 8)
      throw new RoundoffError('unsupported', `${file}: ${name} is compressed by method ${method}.`, 'Give the wheel as it was published.');
    entries.set(name, {
      name,
      compressed: method === 8,
      compressedBytes: bytes.readUInt32LE(at + 20),
      sizeBytes: bytes.readUInt32LE(at + 24),
      headerAt: bytes.readUInt32LE(at + 42),
    });
    at += directoryBytes + nameBytes + extraBytes + commentBytes;
  }
  return entries;
}

async function readAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await handle.read(buffer, 0, length, position);
  return buffer.subarray(0, bytesRead);
}

function torn(file: string, what: string): RoundoffError {
  return new RoundoffError('bad-input', `${file} is not a whole wheel: ${what}.`, 'Download it again.');
}
