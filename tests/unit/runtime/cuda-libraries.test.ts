/** Finding CUDA libraries in the layouts they come in; loading them takes a GPU. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { RoundoffError } from '#contract/errors.ts';
import { packFormat } from '../../../src-main/engine/backends/tensorflow/pack.ts';
import { workerEnvironment } from '../../../src-main/runs/worker-environment.ts';
import { cudaLibraries, locateCuda } from '../../../src-main/runtime/cuda-libraries.ts';
import { writeScript } from '../../support/fake-wheel.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const folder = temporaryFolder('cuda');
const at = (...parts: string[]) => path.join(folder, ...parts);

function put(dir: string, file: string): void {
  mkdirSync(dir, { recursive: true });
  writeFileSync(path.join(dir, file), '');
}

/** As `pip` lays the wheels out. */
function wheelLayout(sitePackages: string, except: string[] = []): void {
  for (const { component, file } of cudaLibraries)
    if (!except.includes(file)) put(path.join(sitePackages, 'nvidia', component, 'lib'), file);
}

beforeEach(() => vi.stubEnv('VIRTUAL_ENV', ''));
put(at('driver'), 'libcuda.so.1');

describe('locateCuda', () => {
  it('finds the wheels in site-packages, in a virtual environment, and through its Python', async () => {
    const site = at('venv/lib/python3.12/site-packages');
    wheelLayout(site);
    const python = writeScript(at('venv/bin/python3'), `echo '["${site}"]'`);
    for (const from of [site, at('venv'), python]) {
      const found = await locateCuda({ from: [from], systemDirs: [at('driver')] });
      expect(found.get('cublas')).toBe(path.join(site, 'nvidia/cublas/lib'));
      expect(new Set(found.keys())).toEqual(new Set(cudaLibraries.map(({ component }) => component)));
    }
    vi.stubEnv('VIRTUAL_ENV', at('venv'));
    expect((await locateCuda({ systemDirs: [at('driver')] })).get('nccl')).toBe(path.join(site, 'nvidia/nccl/lib'));
  });

  it('finds a toolkit on the system’s loader path, and fills gaps from a folder', async () => {
    for (const { file } of cudaLibraries) if (!file.includes('cudnn')) put(at('toolkit'), file);
    put(at('cudnn'), 'libcudnn.so.9');
    const found = await locateCuda({ from: [at('cudnn')], systemDirs: [at('toolkit'), at('driver')] });
    expect(found.get('cudnn')).toBe(at('cudnn'));
    expect(found.get('cufft')).toBe(at('toolkit'));
  });

  it('names every missing library with its version and the remedy', async () => {
    wheelLayout(at('partial'), ['libcudnn.so.9', 'libnccl.so.2']);
    const error = (await locateCuda({ from: [at('partial')], systemDirs: [at('driver')] }).catch(
      (thrown: unknown) => thrown,
    )) as RoundoffError;
    expect(error.code).toBe('not-found');
    expect(error.problems).toEqual(['libcudnn.so.9 (nvidia-cudnn-cu12 >=9.3.0.75,<10)', 'libnccl.so.2 (nvidia-nccl-cu12 >=2.27.7,<3)']);
    expect(error.hint).toContain("pip install 'nvidia-cudnn-cu12>=9.3.0.75,<10' 'nvidia-nccl-cu12>=2.27.7,<3'");
  });

  it('asks for the driver', async () => {
    wheelLayout(at('whole'));
    await expect(locateCuda({ from: [at('whole')], systemDirs: [] })).rejects.toThrow('libcuda.so.1');
    await expect(locateCuda({ from: [at('nowhere')], systemDirs: [] })).rejects.toThrow('does not exist');
  });
});

describe('workerEnvironment with the CUDA pack', () => {
  const dir = at('runtimes/tensorflow');
  mkdirSync(dir, { recursive: true });
  const pack = {
    format: packFormat,
    version: '2.21.0',
    variant: 'cuda',
    wheel: 'a.whl',
    sha256: '0',
    installedAt: '',
    files: {},
    cudaDirs: ['/a', '/b'],
  };
  writeFileSync(path.join(dir, 'pack.json'), JSON.stringify({ ...pack, platform: `${process.platform}-${process.arch}` }));
  const base = { ROUNDOFF_RUNTIMES: at('runtimes') };

  it('sets the library path, one GPU, and memory by need', () => {
    expect(workerEnvironment({ ...base, LD_LIBRARY_PATH: '/c' })).toEqual({
      ...base,
      LD_LIBRARY_PATH: '/a:/b:/c',
      CUDA_DEVICE_ORDER: 'PCI_BUS_ID',
      CUDA_VISIBLE_DEVICES: '0',
      TF_FORCE_GPU_ALLOW_GROWTH: 'true',
    });
  });

  it('keeps the first of the GPUs that were chosen, or none where none was', () => {
    expect(workerEnvironment({ ...base, CUDA_VISIBLE_DEVICES: '2, 3' }).CUDA_VISIBLE_DEVICES).toBe('2');
    expect(workerEnvironment({ ...base, CUDA_VISIBLE_DEVICES: '' }).CUDA_VISIBLE_DEVICES).toBe('');
    expect(workerEnvironment({ ...base, TF_FORCE_GPU_ALLOW_GROWTH: 'false' }).TF_FORCE_GPU_ALLOW_GROWTH).toBe('false');
  });
});
