/**
 * What a path to data stands for: one file, a folder of files (shards and splits), a folder with one JSON file per problem, or a data set in
 * Hugging Face's cache (`hub/datasets--OWNER--NAME/snapshots/REVISION/…`). Finds the splits and chooses one, never silently one of several.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, extname, join, relative, sep } from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import { fingerprint } from './fingerprint.ts';
import { fileError } from './json-file.ts';

export interface DataSource {
  /** In reading order. */
  files: DataFile[];
  /** The chosen split; null for a single file. Several that are read one after the other are joined by `+`. */
  split: string | null;
  /** All splits of the folder. */
  splits: string[];
  /** `openai/gsm8k` and the revision, for what lies in Hugging Face's cache. */
  repository: string | null;
}

export interface DataFile {
  path: string;
  split: string;
  /** The file holds one problem, known by this name within the folder. */
  single: string | null;
}

const extensions = new Set(['.jsonl', '.ndjson', '.json', '.csv', '.parquet']);
const aside = new Set(['dataset_info.json', 'dataset_infos.json', 'dataset_dict.json', 'state.json']);
const maxDepth = 6;
const maxFiles = 200_000;
const hint = 'Name the split, for example with --split test; join several with "+".';

/**
 * `split` may be left out where there is only one, or only one called `test`. Throws `not-found`, `bad-input` (nothing to read, a split that is
 * not there) and `dataset-invalid` when a choice is needed.
 */
export async function resolveDataSource(path: string, split?: string): Promise<DataSource> {
  const kind = await stat(path).catch((error: unknown) => Promise.reject(fileError(path, error)));
  if (!kind.isDirectory()) {
    if (split === undefined) return { files: [{ path, split: '', single: null }], split: null, splits: [], repository: null };
    throw new RoundoffError('bad-input', `${path} is one file and has no split "${split}".`, 'Leave the split out, or choose the folder.');
  }
  const { dir, repository } = await cachedSnapshot(path);
  const files = await listData(dir);
  if (files.length === 0) throw await nothingToRead(dir);
  const splits = [...new Set(files.map((file) => file.split))];
  const chosen = split === undefined ? [onlySplit(path, splits)] : split.split('+').map((name) => namedSplit(path, splits, name));
  return { files: chosen.flatMap((name) => files.filter((file) => file.split === name)), split: chosen.join('+'), splits, repository };
}

/** The splits of a folder, none for a file and for what cannot be read. */
export async function listSplits(path: string): Promise<string[]> {
  const kind = await stat(path).catch(() => null);
  if (!kind?.isDirectory()) return [];
  const files = await cachedSnapshot(path).then(
    ({ dir }) => listData(dir),
    () => [],
  );
  return [...new Set(files.map(({ split }) => split))];
}

/** What identifies the contents: the file's hash; of several, a hash over their names and hashes. */
export async function fingerprintSource({ files }: DataSource): Promise<{ sha256: string; sizeBytes: number }> {
  if (files.length === 1) return fingerprint(files[0]!.path);
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for (const file of files) {
    const own = await fingerprint(file.path);
    hash.update(`${file.split}\u0000${basename(file.path)}\u0000${own.sha256}\n`);
    sizeBytes += own.sizeBytes;
  }
  return { sha256: hash.digest('hex'), sizeBytes };
}

/** The snapshot of a data set's cache folder: what `refs/main` points to, or the only one. Other folders stand for themselves. */
async function cachedSnapshot(path: string): Promise<{ dir: string; repository: string | null }> {
  const parts = path.split(/[\\/]/);
  const at = parts.findLastIndex((part) => part.startsWith('datasets--'));
  if (at < 0) return { dir: path, repository: null };
  const name = parts[at]!.slice('datasets--'.length).replace('--', '/');
  const root = parts.slice(0, at + 1).join(sep);
  const inside = parts[at + 1] === 'snapshots' ? parts[at + 2] : undefined;
  if (inside) return { dir: path, repository: `${name}, revision ${inside}` };
  const revisions = await readdir(join(root, 'snapshots')).catch(() => [] as string[]);
  const main = await readFile(join(root, 'refs', 'main'), 'utf8').then(
    (text) => text.trim(),
    () => null,
  );
  const revision = main !== null && revisions.includes(main) ? main : revisions.length === 1 ? revisions[0]! : null;
  if (revision !== null) return { dir: join(root, 'snapshots', revision), repository: `${name}, revision ${revision}` };
  throw new RoundoffError(
    'bad-input',
    `${root} holds ${revisions.length === 0 ? 'no snapshot' : `${revisions.length} snapshots, and refs/main names none of them`}.`,
    revisions.length === 0 ? 'Download the data set again.' : 'Choose one of the folders in snapshots/.',
  );
}

/** Data files below a folder in natural order, with the split each belongs to. Links are followed, as the cache is made of them. */
async function listData(root: string): Promise<DataFile[]> {
  const files: DataFile[] = [];
  const visit = async (dir: string, depth: number): Promise<void> => {
    const names = await readdir(dir).catch((error: unknown) => Promise.reject(fileError(dir, error)));
    for (const name of names.sort(natural)) {
      const path = join(dir, name);
      if (name.startsWith('.') || aside.has(name)) continue;
      const kind = await stat(path).catch(() => null);
      if (kind?.isDirectory() && depth < maxDepth) await visit(path, depth + 1);
      else if (kind?.isFile() && extensions.has(extname(name).toLowerCase())) files.push(dataFile(root, path));
      if (files.length > maxFiles)
        throw new RoundoffError('bad-input', `${root} holds more than ${maxFiles} data files.`, 'Choose the folder of one data set.');
    }
  };
  await visit(root, 0);
  return files;
}

function dataFile(root: string, path: string): DataFile {
  const parts = relative(root, path).split(sep);
  const stem = basename(path, extname(path));
  const single = /^\d+$/.test(stem) && extname(path).toLowerCase() === '.json' ? parts.join('/') : null;
  if (single !== null) return { path, single, split: parts.length > 1 && /^(train|test|validation)$/.test(parts[0]!) ? parts[0]! : 'all' };
  const named = [...parts.slice(0, -1), stem.replace(/-\d{5}-of-\d{5}(-[0-9a-f]+)?$/, '')];
  return { path, single, split: (named[0] === 'data' && named.length > 1 ? named.slice(1) : named).join('/') };
}

function onlySplit(path: string, splits: readonly string[]): string {
  if (splits.length === 1) return splits[0]!;
  const tests = splits.filter((name) => lastPart(name) === 'test');
  if (tests.length === 1) return tests[0]!;
  throw new RoundoffError('dataset-invalid', `${path} has several splits: ${splits.slice(0, 20).join(', ')}.`, hint);
}

/** By its whole name, or by the last part of it where that is unique. */
function namedSplit(path: string, splits: readonly string[], wanted: string): string {
  if (splits.includes(wanted)) return wanted;
  const alike = splits.filter((name) => lastPart(name) === wanted || name.startsWith(`${wanted}/`));
  if (alike.length === 1) return alike[0]!;
  const message = alike.length > 1 ? `has several splits called "${wanted}": ${alike.join(', ')}` : `has no split "${wanted}"`;
  throw new RoundoffError(
    'bad-input',
    `${path} ${message}.`,
    alike.length > 1 ? hint : `Choose one of: ${splits.slice(0, 20).join(', ')}.`,
  );
}

const lastPart = (name: string) => name.split('/').at(-1)!;
const natural = (a: string, b: string) => a.localeCompare(b, 'en', { numeric: true }) || (a < b ? -1 : 1);

async function nothingToRead(dir: string): Promise<RoundoffError> {
  const names = await readdir(dir);
  const cached = names.filter((name) => name.startsWith('datasets--'));
  if (cached.length > 0)
    return new RoundoffError(
      'bad-input',
      `${dir} is a cache of ${cached.length} data sets.`,
      `Choose one of its folders: ${cached.slice(0, 12).join(', ')}.`,
    );
  const arrow = names.some((name) => name.endsWith('.arrow'))
    ? ' Arrow files cannot be read: save the data set as Parquet or JSON Lines.'
    : '';
  return new RoundoffError(
    'bad-input',
    `${dir} holds no data files.`,
    `Choose a folder with .jsonl, .json, .csv or .parquet files.${arrow}`,
  );
}
