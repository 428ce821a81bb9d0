/**
 * Finds the CUDA libraries that TensorFlow's CUDA build opens by name: in the `nvidia-*-cu12` wheels of a Python environment, in a folder that
 * holds them (an unpacked wheel, a CUDA toolkit), or where the system's loader looks.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import { runTool } from './build-binding.ts';

export interface CudaLibrary {
  /** Folder of the wheels' `nvidia` namespace, where TensorFlow's search path looks. */
  component: string;
  file: string;
  wheel: string;
  range: string;
}

/** What TensorFlow 2.21 names in the metadata of its wheel (`and-cuda`). */
export const cudaLibraries: readonly CudaLibrary[] = [
  { component: 'cuda_runtime', file: 'libcudart.so.12', wheel: 'nvidia-cuda-runtime-cu12', range: '>=12.5.82,<13' },
  { component: 'cublas', file: 'libcublas.so.12', wheel: 'nvidia-cublas-cu12', range: '>=12.5.3.2,<13' },
  { component: 'cublas', file: 'libcublasLt.so.12', wheel: 'nvidia-cublas-cu12', range: '>=12.5.3.2,<13' },
  { component: 'cuda_cupti', file: 'libcupti.so.12', wheel: 'nvidia-cuda-cupti-cu12', range: '>=12.5.82,<13' },
  { component: 'cuda_nvrtc', file: 'libnvrtc.so.12', wheel: 'nvidia-cuda-nvrtc-cu12', range: '>=12.5.82,<13' },
  { component: 'cudnn', file: 'libcudnn.so.9', wheel: 'nvidia-cudnn-cu12', range: '>=9.3.0.75,<10' },
  { component: 'cufft', file: 'libcufft.so.11', wheel: 'nvidia-cufft-cu12', range: '>=11.2.3.61,<12' },
  { component: 'curand', file: 'libcurand.so.10', wheel: 'nvidia-curand-cu12', range: '>=10.3.6.82,<11' },
  { component: 'cusolver', file: 'libcusolver.so.11', wheel: 'nvidia-cusolver-cu12', range: '>=11.6.3.83,<12' },
  { component: 'cusparse', file: 'libcusparse.so.12', wheel: 'nvidia-cusparse-cu12', range: '>=12.5.1.3,<13' },
  { component: 'nccl', file: 'libnccl.so.2', wheel: 'nvidia-nccl-cu12', range: '>=2.27.7,<3' },
  { component: 'nvjitlink', file: 'libnvJitLink.so.12', wheel: 'nvidia-nvjitlink-cu12', range: '>=12.5.82,<13' },
];

const driverFile = 'libcuda.so.1';

export interface CudaSearch {
  /** Named by the user: a Python, a site-packages folder, or a folder of libraries. */
  from?: readonly string[];
  /** Folders that the system's loader looks in. */
  systemDirs?: readonly string[];
}

/** Folder of each component. @throws RoundoffError `not-found` listing every missing library with its version and where to get it. */
export async function locateCuda({ from = [], systemDirs = loaderDirs() }: CudaSearch): Promise<Map<string, string>> {
  const named = (await Promise.all(from.map(packageDirs))).flat();
  const packages = [...named, ...(process.env.VIRTUAL_ENV ? sitePackages(process.env.VIRTUAL_ENV) : [])];
  const found = new Map<string, string>();
  const missing: string[] = [];
  for (const library of cudaLibraries) {
    const { component, file } = library;
    const places = [
      ...packages.flatMap((dir) => [path.join(dir, 'nvidia', component, 'lib'), path.join(dir, component, 'lib'), dir]),
      ...systemDirs,
    ];
    const dir = places.find((place) => existsSync(path.join(place, file)));
    if (dir) found.set(component, dir);
    else missing.push(`${file} (${library.wheel} ${library.range})`);
  }
  if (missing.length === 0) {
    requireDriver(systemDirs);
    return found;
  }
  const wheels = [...new Set(cudaLibraries.filter(({ file }) => missing.some((text) => text.startsWith(file))).map(wheelRequirement))];
  throw new RoundoffError(
    'not-found',
    `${missing.length} of ${cudaLibraries.length} CUDA libraries were not found: ${missing.join(', ')}.`,
    `Install them into a Python environment, \`python3 -m pip install ${wheels.join(' ')}\`, and name it with --cuda-from; or give the folder that holds them.`,
    { problems: missing },
  );
}

/** `nvidia` folders' parents behind what a user named. */
async function packageDirs(place: string): Promise<string[]> {
  const resolved = path.resolve(place);
  if (!existsSync(resolved))
    throw new RoundoffError(
      'not-found',
      `${place} does not exist.`,
      'Name a Python, its site-packages folder, or a folder of CUDA libraries.',
    );
  if (/^python[\d.]*$/.test(path.basename(resolved))) {
    const script = 'import site, sysconfig, json; print(json.dumps([sysconfig.get_path("purelib"), *site.getsitepackages()]))';
    const { code, stdout, stderr } = await runTool(resolved, ['-c', script]);
    if (code !== 0)
      throw new RoundoffError('bad-input', `${place} does not run: ${stderr.trim()}`, 'Name its site-packages folder instead.');
    return JSON.parse(stdout) as string[];
  }
  return [resolved, ...sitePackages(resolved)];
}

/** Of a virtual environment. */
function sitePackages(environment: string): string[] {
  const lib = path.join(environment, 'lib');
  if (!existsSync(lib)) return [];
  return readdirSync(lib)
    .filter((name) => name.startsWith('python'))
    .map((name) => path.join(lib, name, 'site-packages'));
}

/** `LD_LIBRARY_PATH`, the folders of ld.so.conf, and those that are built in. */
function loaderDirs(): string[] {
  const environment = (process.env.LD_LIBRARY_PATH ?? '').split(':').filter((dir) => dir !== '');
  const usual = [
    '/usr/local/cuda/lib64',
    '/usr/lib/x86_64-linux-gnu',
    '/lib/x86_64-linux-gnu',
    '/usr/lib64',
    '/usr/lib',
    '/usr/lib/wsl/lib',
  ];
  return [...environment, ...configuredDirs('/etc/ld.so.conf.d'), ...usual];
}

function configuredDirs(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith('.conf'))
    .flatMap((name) => readFileSync(path.join(folder, name), 'utf8').split('\n'))
    .map((line) => line.trim())
    .filter((line) => line.startsWith('/'));
}

function requireDriver(systemDirs: readonly string[]): void {
  if (systemDirs.some((dir) => existsSync(path.join(dir, driverFile)))) return;
  throw new RoundoffError(
    'not-found',
    `The NVIDIA driver is not installed: there is no ${driverFile}.`,
    'Install the NVIDIA driver (version 555 or newer for CUDA 12.5), or leave --cuda out.',
  );
}

function wheelRequirement({ wheel, range }: CudaLibrary): string {
  return `'${wheel}${range}'`;
}
