/**
 * Downloads a large file. What is there of an earlier attempt is gone on from, whether that was cut off by the network or killed; the caller
 * checks the whole file's hash.
 */
import { createWriteStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { RoundoffError } from '#contract/errors.ts';
import { hashFile, writeError } from '../engine/formats/atomic-file.ts';
import { trustSystemCertificates } from './certificates.ts';
import { networkReason } from './package-index.ts';

export interface DownloadOptions {
  url: string;
  /** Hexadecimal. */
  sha256: string;
  signal?: AbortSignal;
  onProgress?(doneBytes: number, totalBytes: number | null): void;
  /** Without a byte for so long, the connection counts as lost. */
  stallMs?: number;
}

const attempts = 4;

/** The file at `target`, whole and with the right hash. @throws RoundoffError `network`, `bad-input` for a wrong hash, `disk-full` */
export async function download(target: string, options: DownloadOptions): Promise<void> {
  const partial = `${target}.partial`;
  await fetchWhole(partial, options);
  const { sha256 } = await hashFile(partial, { signal: options.signal });
  if (sha256 !== options.sha256) {
    await rm(partial, { force: true });
    throw new RoundoffError(
      'bad-input',
      `What ${options.url} sent has the sha256 ${sha256}, and the index says ${options.sha256}. It was deleted.`,
      'Try again; if it happens again, give another index with --index.',
    );
  }
  await rename(partial, target);
}

async function fetchWhole(partial: string, options: DownloadOptions): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await fetchRest(partial, options);
    } catch (error) {
      if (options.signal?.aborted || error instanceof RoundoffError) throw error;
      const written = writeError(partial, error);
      if (written instanceof RoundoffError) throw written;
      if (attempt < attempts) continue;
      throw new RoundoffError(
        'network',
        `The download of ${options.url} broke off: ${networkReason(error)}.`,
        'Check the network connection and run the command again: it goes on where it stopped.',
        { cause: error },
      );
    }
  }
}

async function fetchRest(partial: string, { url, signal, onProgress, stallMs = 60_000 }: DownloadOptions): Promise<void> {
  const have = await sizeOf(partial);
  const stalled = new AbortController();
  const anySignal = signal ? AbortSignal.any([signal, stalled.signal]) : stalled.signal;
  const timer = setTimeout(() => stalled.abort(new Error(`no data for ${stallMs / 1000} s`)), stallMs);
  try {
    trustSystemCertificates();
    const response = await fetch(url, { headers: have > 0 ? { range: `bytes=${have}-` } : {}, signal: anySignal });
    if (response.status === 416) return;
    if (!response.ok || !response.body)
      throw new RoundoffError('network', `The server answered ${response.status} for ${url}.`, 'Try again later, or give another --index.');
    const resumed = response.status === 206;
    let done = resumed ? have : 0;
    const length = Number(response.headers.get('content-length'));
    const total = length > 0 ? done + length : null;
    const counted = async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        done += chunk.length;
        timer.refresh();
        onProgress?.(done, total);
        yield chunk;
      }
    };
    const body = Readable.fromWeb(response.body as import('node:stream/web').ReadableStream);
    await pipeline(body, counted, createWriteStream(partial, { flags: resumed ? 'a' : 'w' }), { signal: anySignal });
    if (total !== null && done < total) throw new Error(`it ended after ${done} of ${total} bytes`);
  } finally {
    clearTimeout(timer);
  }
}

async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch {
    return 0;
  }
}
