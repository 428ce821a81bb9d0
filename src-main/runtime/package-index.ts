/** Asks a Python package index (its "simple" pages, JSON or HTML) for the wheels of a project, and chooses the newest that fits. */

import { RoundoffError } from '#contract/errors.ts';
import { trustSystemCertificates } from './certificates.ts';
import { inRange, type PlatformTarget, rangeText } from './platform.ts';

export interface IndexFile {
  filename: string;
  url: string;
  sha256: string | null;
  sizeBytes: number | null;
  yanked: boolean;
}

const defaultIndex = 'https://pypi.org/simple';
const timeoutMs = 30_000;

export async function listFiles(project: string, options: { index?: string; signal?: AbortSignal }): Promise<IndexFile[]> {
  const index = options.index ?? process.env.PIP_INDEX_URL ?? defaultIndex;
  const page = `${index.replace(/\/+$/, '')}/${project}/`;
  const response = await get(page, index, options.signal);
  if (response.status === 404)
    throw new RoundoffError('not-found', `The package index ${index} knows no project ${project}.`, 'Give another index with --index.');
  if (!response.ok)
    throw new RoundoffError('network', `The package index answered ${response.status} for ${page}.`, 'Try again later, or give --index.');
  const body = await response.text();
  return response.headers.get('content-type')?.includes('json') ? fromJson(body, page) : fromHtml(body, page);
}

/** @throws RoundoffError `not-found` naming what was looked for. */
export function chooseWheel(files: readonly IndexFile[], target: PlatformTarget): IndexFile {
  const fitting = files
    .map((file) => ({ file, name: parseWheelName(file.filename) }))
    .filter(({ file, name }) => name !== null && !file.yanked && inRange(name.version) && name.platforms.some(target.fits))
    .sort((a, b) => compareVersions(b.name!.version, a.name!.version) || compareVersions(b.name!.python, a.name!.python));
  const [best] = fitting;
  if (best) return best.file;
  throw new RoundoffError(
    'not-found',
    `The package index has no wheel of ${target.project} ${rangeText} for this platform.`,
    'Give another index with --index, or a wheel with --wheel.',
  );
}

/** `name-version-python-abi-platform.whl`; null for anything else. */
export function parseWheelName(filename: string): { name: string; version: string; python: string; platforms: string[] } | null {
  const parts = /^([^-]+)-([^-]+)(?:-\d[^-]*)?-([^-]+)-[^-]+-([^-]+)\.whl$/.exec(filename);
  return parts && { name: parts[1]!, version: parts[2]!, python: parts[3]!, platforms: parts[4]!.split('.') };
}

async function get(url: string, index: string, signal?: AbortSignal): Promise<Response> {
  const limit = AbortSignal.timeout(timeoutMs);
  try {
    trustSystemCertificates();
    return await fetch(url, {
      headers: { accept: 'application/vnd.pypi.simple.v1+json, text/html;q=0.5' },
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    const hint = 'Check the network connection, give another index with --index, or a wheel file with --wheel.';
    throw new RoundoffError('network', `The package index ${index} cannot be reached: ${networkReason(cause)}.`, hint, { cause });
  }
}

/** Fetch wraps what went wrong. */
export function networkReason(error: unknown): string {
  const { cause, message } = error as { cause?: { code?: string; message?: string }; message: string };
  return cause?.code ?? cause?.message ?? message;
}

function fromJson(body: string, page: string): IndexFile[] {
  const { files } = JSON.parse(body) as {
    files: { filename: string; url: string; hashes?: { sha256?: string }; size?: number; yanked?: unknown }[];
  };
  return files.map(({ filename, url, hashes, size, yanked }) => ({
    filename,
    url: new URL(url, page).href,
    sha256: hashes?.sha256 ?? null,
    sizeBytes: size ?? null,
    yanked: Boolean(yanked),
  }));
}

function fromHtml(body: string, page: string): IndexFile[] {
  return [...body.matchAll(/<a\s([^>]*)>([^<]*)<\/a>/gi)].flatMap(([, attributes = '', name = '']) => {
    const href = /href\s*=\s*["']([^"']+)["']/i.exec(attributes)?.[1]?.replaceAll('&amp;', '&');
    if (!href) return [];
    const url = new URL(href, page);
    const sha256 = /sha256=([0-9a-f]{64})/.exec(url.hash)?.[1] ?? null;
    url.hash = '';
    return [{ filename: name.trim(), url: url.href, sha256, sizeBytes: null, yanked: /data-yanked/i.test(attributes) }];
  });
}

/** Numbers inside compare as numbers: `cp39` before `cp312`. */
function compareVersions(a: string, b: string): number {
  const numbers = (text: string) => (text.match(/\d+/g) ?? []).map(Number);
  const [left, right] = [numbers(a), numbers(b)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
