import { describe, expect, it } from 'vitest';
import { chooseWheel, type IndexFile } from '../../../src-main/runtime/package-index.ts';
import { inRange, type Machine, platformTarget } from '../../../src-main/runtime/platform.ts';

const linux: Machine = { platform: 'linux', arch: 'x64', glibc: '2.36' };
const file = (filename: string, more: Partial<IndexFile> = {}): IndexFile => ({
  filename,
  url: '',
  sha256: null,
  sizeBytes: null,
  yanked: false,
  ...more,
});
const cpu = (version: string, python = 'cp312', platform = 'manylinux_2_27_x86_64') =>
  file(`tensorflow_cpu-${version}-${python}-${python}-${platform}.whl`);

describe('platformTarget', () => {
  it('knows the project of each platform', () => {
    expect(platformTarget(false, linux).project).toBe('tensorflow-cpu');
    expect(platformTarget(true, linux).project).toBe('tensorflow');
    expect(platformTarget(false, { ...linux, arch: 'arm64' }).project).toBe('tensorflow');
    expect(platformTarget(false, { platform: 'darwin', arch: 'arm64', glibc: null }).libraries[0]).toBe('libtensorflow_cc.2.dylib');
  });

  it('says where there is nothing that fits', () => {
    expect(() => platformTarget(false, { platform: 'win32', arch: 'x64', glibc: null })).toThrow('win32-x64');
    expect(() => platformTarget(false, { ...linux, glibc: null })).toThrow('glibc');
    expect(() => platformTarget(true, { ...linux, arch: 'arm64' })).toThrow('CUDA');
  });
});

describe('chooseWheel', () => {
  it('takes the newest release in range that runs here', () => {
    const files = [
      cpu('2.20.0'),
      cpu('2.21.0', 'cp39'),
      cpu('2.21.0', 'cp313'),
      cpu('2.21.1rc0'),
      cpu('2.22.0'),
      cpu('2.21.0', 'cp314', 'win_amd64'),
    ];
    expect(chooseWheel(files, platformTarget(false, linux)).filename).toBe(cpu('2.21.0', 'cp313').filename);
  });

  it('leaves out what was withdrawn, and says so when nothing is left', () => {
    const yanked = { ...cpu('2.21.3'), yanked: true };
    expect(chooseWheel([yanked, cpu('2.21.0')], platformTarget(false, linux)).filename).toContain('2.21.0');
    expect(() => chooseWheel([yanked], platformTarget(false, linux))).toThrow('no wheel of tensorflow-cpu');
    expect(() => chooseWheel([cpu('2.21.0')], platformTarget(false, { ...linux, glibc: '2.17' }))).toThrow('no wheel');
  });
});

it('inRange takes releases of 2.21 alone', () => {
  expect(['2.21.0', '2.21.12', '2.20.9', '2.22.0', '2.21.0rc1', '3.0.0'].map(inRange)).toEqual([true, true, false, false, false, false]);
});
