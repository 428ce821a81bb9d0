/** Which TensorFlow wheels fit which machine. */
import { RoundoffError } from '#contract/errors.ts';

export interface PlatformTarget {
  /** Project on the package index. */
  project: string;
  /** Whether a wheel's platform tag runs here. */
  fits(tag: string): boolean;
  /** TensorFlow's libraries in the wheel's `tensorflow` folder. */
  libraries: [cc: string, framework: string];
  cuda: boolean;
}

export interface Machine {
  platform: NodeJS.Platform;
  arch: string;
  /** As in `2.36`; null where the C library is another one. */
  glibc: string | null;
}

/** TensorFlow versions that the binding is known to build and run with. */
export const versionRange = { from: [2, 21], below: [2, 22] } as const;

export function thisMachine(): Machine {
  const report = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
  return { platform: process.platform, arch: process.arch, glibc: report.header.glibcVersionRuntime ?? null };
}

/** @throws RoundoffError `unsupported` where TensorFlow publishes nothing that fits. */
export function platformTarget(cuda: boolean, machine: Machine = thisMachine()): PlatformTarget {
  const { platform, arch, glibc } = machine;
  const unsupported = (what: string, hint: string) => new RoundoffError('unsupported', what, hint);
  if (cuda && !(platform === 'linux' && arch === 'x64'))
    throw unsupported(`TensorFlow with CUDA is published for Linux on x86-64 only, not for ${platform}-${arch}.`, 'Leave --cuda out.');
  if (platform === 'linux' && (arch === 'x64' || arch === 'arm64')) {
    if (glibc === null) throw unsupported('TensorFlow needs glibc, which this Linux has not.', 'Use the wasm or webgpu backend.');
    const machineTag = arch === 'x64' ? 'x86_64' : 'aarch64';
    return {
      project: arch === 'x64' && !cuda ? 'tensorflow-cpu' : 'tensorflow',
      fits: (tag) => fitsGlibc(tag, machineTag, glibc),
      libraries: ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'],
      cuda,
    };
  }
  if (platform === 'darwin' && arch === 'arm64')
    return {
      project: 'tensorflow',
      fits: (tag) => /^macosx_\d+_\d+_arm64$/.test(tag),
      libraries: ['libtensorflow_cc.2.dylib', 'libtensorflow_framework.2.dylib'],
      cuda,
    };
  throw unsupported(
    `TensorFlow publishes no libraries that fit ${platform}-${arch}.`,
    platform === 'win32' ? 'Run Roundoff in WSL2, or use the webgpu backend.' : 'Use the wasm or webgpu backend.',
  );
}

/** `2.21.0` and the like; no pre-releases, nothing beyond what is known to work. */
export function inRange(version: string): boolean {
  const parts = /^(\d+)\.(\d+)\.(\d+)$/.exec(version)?.slice(1).map(Number);
  if (!parts) return false;
  return comparePair(parts, versionRange.from) >= 0 && comparePair(parts, versionRange.below) < 0;
}

export const rangeText = `>= ${versionRange.from.join('.')}, < ${versionRange.below.join('.')}`;

function fitsGlibc(tag: string, machineTag: string, glibc: string): boolean {
  const found = /^manylinux_(\d+)_(\d+)_(\w+)$/.exec(tag);
  return found !== null && found[3] === machineTag && comparePair(glibc.split('.').map(Number), [Number(found[1]), Number(found[2])]) >= 0;
}

function comparePair(a: readonly number[], b: readonly number[]): number {
  return a[0]! - b[0]! || a[1]! - b[1]!;
}
