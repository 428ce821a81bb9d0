/**
 * Installs the TensorFlow runtime pack: finds the wheel, takes the libraries out of it, builds the binding against them, checks that it loads,
 * and puts the folder in its place in one step. A kill at any moment leaves either the old state or the new one; the next call goes on with the
 * download.
 */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { rm, stat, statfs, symlink } from 'node:fs/promises';
import path from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import type { RuntimeProgress } from '#contract/runtime.ts';
import { bindingFile, packFormat, type TensorflowPack, tensorflowPackDir } from '../engine/backends/tensorflow/pack.ts';
import { hashFile, writeFolderAtomically, writeWholeFile } from '../engine/formats/atomic-file.ts';
import { type BuildTools, buildBinding, findBuildTools, runTool } from './build-binding.ts';
import { locateCuda } from './cuda-libraries.ts';
import { download } from './download.ts';
import { lockRuntimes } from './lock.ts';
import { chooseWheel, listFiles } from './package-index.ts';
import { inRange, type PlatformTarget, platformTarget, rangeText } from './platform.ts';
import { PhaseMeter } from './progress.ts';
import { extractFile, openWheel, type Wheel } from './wheel.ts';

export interface InstallOptions {
  /** The Node that will load the binding. */
  nodeFile: string;
  /** A wheel on this machine, instead of the index. */
  wheel?: string;
  /** Of "simple" pages; `PIP_INDEX_URL` or pypi.org without it. */
  index?: string;
  cuda?: boolean;
  /** Where CUDA libraries are looked for first. */
  cudaFrom?: readonly string[];
  signal?: AbortSignal;
  onProgress?(progress: RuntimeProgress): void;
}

/** What the binding's sources include of TensorFlow. */
const headers = /^tensorflow\/include\/(tensorflow\/(c|core\/platform)|tsl\/platform|xla\/tsl\/c)\/[\w/]+\.h$/;
/** Of a wheel's size, how much its libraries take unpacked, rounded up. */
const unpackedRatio = 3.3;

export async function installTensorflow(options: InstallOptions): Promise<TensorflowPack> {
  const { nodeFile, signal, onProgress } = options;
  const meter = new PhaseMeter('tensorflow', onProgress ?? (() => undefined));
  meter.begin('prepare');
  const target = platformTarget(options.cuda ?? false);
  const tools = await findBuildTools(nodeFile);
  const cudaDirs = target.cuda ? await locateCuda({ from: options.cudaFrom ?? [] }) : new Map<string, string>();
  const dir = tensorflowPackDir();
  mkdirSync(path.dirname(dir), { recursive: true });
  const unlock = lockRuntimes(path.dirname(dir));
  try {
    await removeLeftovers(dir);
    const wheelFile = options.wheel ? path.resolve(options.wheel) : await fetchWheel(dir, target, options, meter);
    const pack = await unpackAndBuild({ dir, wheelFile, target, tools, cudaDirs, nodeFile, meter, signal });
    await rm(downloadsDir(dir), { recursive: true, force: true });
    return pack;
  } catch (error) {
    if (!signal?.aborted) throw error;
    await rm(downloadsDir(dir), { recursive: true, force: true });
    throw new RoundoffError('cancelled', 'The installation was cancelled; nothing is left of it.', 'Run it again at any time.', {
      cause: error,
    });
  } finally {
    unlock();
  }
}

/** Removes the pack and everything an installation may have left. */
export async function removeTensorflow(): Promise<{ removed: boolean }> {
  const dir = tensorflowPackDir();
  if (!existsSync(path.dirname(dir))) return { removed: false };
  const unlock = lockRuntimes(path.dirname(dir));
  const removed = existsSync(dir);
  try {
    await removeLeftovers(dir);
    await rm(downloadsDir(dir), { recursive: true, force: true });
    await rm(dir, { recursive: true, force: true });
  } finally {
    unlock();
  }
  if (readdirSync(path.dirname(dir)).length === 0) await rm(path.dirname(dir), { recursive: true });
  return { removed };
}

function downloadsDir(dir: string): string {
  return path.join(path.dirname(dir), '.downloads');
}

/** Folders that a killed installation was filling. */
async function removeLeftovers(dir: string): Promise<void> {
  const parent = path.dirname(dir);
  const leftovers = readdirSync(parent).filter((name) => name.startsWith(`.${path.basename(dir)}.`) && name.endsWith('.partial'));
  for (const name of leftovers) await rm(path.join(parent, name), { recursive: true, force: true });
}

async function fetchWheel(dir: string, target: PlatformTarget, { index, signal }: InstallOptions, meter: PhaseMeter): Promise<string> {
  const { filename, url, sha256, sizeBytes } = chooseWheel(await listFiles(target.project, { index, signal }), target);
  if (sha256 === null)
    throw new RoundoffError(
      'unsupported',
      `The package index gives no sha256 of ${filename}.`,
      'Give another index with --index, or --wheel.',
    );
  const file = path.join(downloadsDir(dir), filename);
  mkdirSync(path.dirname(file), { recursive: true });
  if (existsSync(file)) return file;
  await requireSpace(path.dirname(dir), (sizeBytes ?? 0) * (1 + unpackedRatio));
  meter.begin('download');
  await download(file, { url, sha256, signal, onProgress: (done, total) => meter.update(done, total ?? sizeBytes) });
  return file;
}

interface Build {
  dir: string;
  wheelFile: string;
  target: PlatformTarget;
  tools: BuildTools;
  cudaDirs: ReadonlyMap<string, string>;
  nodeFile: string;
  meter: PhaseMeter;
  signal?: AbortSignal;
}

async function unpackAndBuild({ dir, wheelFile, target, tools, cudaDirs, nodeFile, meter, signal }: Build): Promise<TensorflowPack> {
  meter.begin('unpack');
  const wheel = await openWheel(wheelFile);
  requireFit(wheel, target);
  const sizeBytes = target.libraries.reduce((sum, name) => sum + (wheel.archive.entries.get(`tensorflow/${name}`)?.sizeBytes ?? 0), 0);
  await requireSpace(path.dirname(dir), sizeBytes);
  const { sha256 } = await hashFile(wheelFile, { signal });
  return writeFolderAtomically(
    dir,
    async (temporary) => {
      const lib = path.join(temporary, 'lib');
      const include = path.join(temporary, 'include');
      await unpack(wheel, target, { lib, include }, { signal, onBytes: (done) => meter.update(done, sizeBytes) });
      for (const [component, place] of cudaDirs) {
        mkdirSync(path.join(temporary, 'nvidia', component), { recursive: true });
        await symlink(place, path.join(temporary, 'nvidia', component, 'lib'));
      }
      meter.begin('build');
      const libraries = target.libraries.map((name) => path.join(lib, name));
      await buildBinding({ tools, include, libraries, output: path.join(lib, bindingFile), signal });
      await rm(include, { recursive: true });
      meter.begin('check');
      const version = await loadedVersion(nodeFile, path.join(lib, bindingFile), signal);
      const pack: TensorflowPack = {
        format: packFormat,
        version,
        variant: target.cuda ? 'cuda' : 'cpu',
        platform: `${process.platform}-${process.arch}`,
        wheel: path.basename(wheelFile),
        sha256,
        installedAt: new Date().toISOString(),
        files: await sizesIn(lib),
        cudaDirs: [...new Set(cudaDirs.values())],
      };
      await writeWholeFile(path.join(temporary, 'pack.json'), `${JSON.stringify(pack, null, 2)}\n`);
      return pack;
    },
    { replace: true },
  );
}

async function unpack(
  wheel: Wheel,
  { libraries }: PlatformTarget,
  to: { lib: string; include: string },
  { signal, onBytes }: { signal?: AbortSignal; onBytes(done: number): void },
): Promise<void> {
  let done = 0;
  const count = (bytes: number) => {
    done += bytes;
    onBytes(done);
  };
  for (const name of libraries) await extractFile(wheel, `tensorflow/${name}`, path.join(to.lib, name), { signal, onBytes: count });
  for (const name of [...wheel.archive.entries.keys()].filter((entry) => headers.test(entry)))
    await extractFile(wheel, name, path.join(to.include, name.slice('tensorflow/include/'.length)), { signal });
}

/** @throws RoundoffError `bad-input` when the wheel is of another project, version or platform. */
function requireFit({ archive, name, version, platforms }: Wheel, target: PlatformTarget): void {
  const { file } = archive;
  const projects = target.cuda ? ['tensorflow'] : ['tensorflow', 'tensorflow_cpu'];
  if (!projects.includes(name))
    throw new RoundoffError(
      'bad-input',
      `${file} is a wheel of ${name}, not of ${projects.join(' or ')}.`,
      'Give the wheel that fits, or none.',
    );
  if (!inRange(version))
    throw new RoundoffError('bad-input', `${file} is TensorFlow ${version}; known to work is ${rangeText}.`, 'Give such a wheel, or none.');
  if (!platforms.some(target.fits))
    throw new RoundoffError(
      'bad-input',
      `${file} is for ${platforms.join(', ')}, which does not run on this ${process.platform}-${process.arch}.`,
      'Give the wheel for this platform, or none.',
    );
}

async function loadedVersion(nodeFile: string, binding: string, signal?: AbortSignal): Promise<string> {
  const script = 'process.stdout.write(String(require(process.argv[1]).TF_Version))';
  const { code, stdout, stderr } = await runTool(nodeFile, ['-e', script, binding], signal);
  if (code === 0) return stdout;
  const reason = stderr.split('\n').find((line) => line.startsWith('Error:')) ?? stderr.trim().split('\n').at(-1);
  throw new RoundoffError(
    'backend-unavailable',
    `The binding was built but does not load: ${reason}`,
    'Install the library it names, then try again.',
  );
}

async function sizesIn(folder: string): Promise<Record<string, number>> {
  const sizes = await Promise.all(readdirSync(folder).map(async (name) => [name, (await stat(path.join(folder, name))).size] as const));
  return Object.fromEntries(sizes);
}

async function requireSpace(dir: string, neededBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dir);
  const free = bavail * bsize;
  if (free >= neededBytes) return;
  const gigabytes = (value: number) => `${(value / 1e9).toFixed(1)} GB`;
  throw new RoundoffError(
    'disk-full',
    `The runtime pack needs ${gigabytes(neededBytes)} in ${dir}, and ${gigabytes(free)} are free.`,
    'Free some disk space, or set ROUNDOFF_RUNTIMES to a folder on another disk.',
  );
}
