/**
 * Compiles the binding of tfjs-node-gpu, two C++ files of the package, against TensorFlow's C API. Node-API keeps it loadable in every later
 * Node, so that a C++ compiler and Node-API's headers are all it takes.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { RoundoffError } from '#contract/errors.ts';

export interface BuildTools {
  compiler: string;
  /** Holds `node_api.h`. */
  nodeHeaders: string;
  /** Holds `tfjs_binding.cc` and `tfjs_backend.cc`. */
  sources: string;
}

export interface BuildOptions {
  tools: BuildTools;
  /** Holds `tensorflow/c/c_api.h`. */
  include: string;
  /** TensorFlow's libraries, beside which the binding will lie. */
  libraries: string[];
  output: string;
  signal?: AbortSignal;
}

const timeoutMs = 300_000;

/** Finds what building needs, before anything is downloaded. @throws RoundoffError `not-found` naming what to install. */
export async function findBuildTools(nodeFile: string): Promise<BuildTools> {
  const nodeDir = path.dirname(nodeFile);
  const nodeHeaders = [path.join(nodeDir, '../include/node'), path.join(nodeDir, 'include/node'), '/usr/include/node'].find((dir) =>
    existsSync(path.join(dir, 'node_api.h')),
  );
  if (!nodeHeaders)
    throw new RoundoffError(
      'not-found',
      `The headers of Node-API are not beside ${nodeFile}.`,
      'Run `npm ci`, or install the headers of your Node (Debian and Ubuntu: `sudo apt install libnode-dev`).',
    );
  return { compiler: await findCompiler(), nodeHeaders, sources: bindingSources(nodeDir) };
}

/** @throws RoundoffError `internal` with the compiler's message: the versions that are installed are known to build. */
export async function buildBinding({ tools, include, libraries, output, signal }: BuildOptions): Promise<void> {
  const { compiler, nodeHeaders, sources } = tools;
  const mac = process.platform === 'darwin';
  const args = [
    ...['-std=c++17', '-O2', '-fPIC', '-w', '-DNAPI_VERSION=8'],
    ...['-I', nodeHeaders, '-I', include],
    ...(mac ? ['-dynamiclib', '-undefined', 'dynamic_lookup'] : ['-shared']),
    ...['tfjs_binding.cc', 'tfjs_backend.cc'].map((file) => path.join(sources, file)),
    ...libraries,
    `-Wl,-rpath,${mac ? '@loader_path' : '$ORIGIN'}`,
    ...['-o', output],
  ];
  const { code, stderr } = await runTool(compiler, args, signal);
  if (code !== 0) {
    const first = stderr.split('\n').find((line) => /error/i.test(line)) ?? stderr.trim().split('\n').at(-1);
    throw new RoundoffError(
      'unsupported',
      `The binding does not compile with ${compiler}: ${first}`,
      'Install a compiler with C++17, such as g++ 9 or newer.',
      {
        problems: stderr.split('\n').slice(0, 40),
      },
    );
  }
}

/** Runs a program to its end and keeps what it says. A `code` of null: it could not be started or did not end by itself. */
export function runTool(
  file: string,
  args: readonly string[],
  signal?: AbortSignal,
  env: NodeJS.ProcessEnv = process.env,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child: ChildProcess = spawn(file, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env,
      signal,
      timeout: timeoutMs,
      windowsHide: true,
    });
    const output = { stdout: '', stderr: '' };
    child.stdout!.on('data', (chunk: Buffer) => (output.stdout += chunk));
    child.stderr!.on('data', (chunk: Buffer) => (output.stderr += chunk));
    child.on('error', (error) => (signal?.aborted ? reject(error) : resolve({ code: null, ...output, stderr: error.message })));
    child.on('close', (code) => (signal?.aborted ? reject(signal.reason) : resolve({ code, ...output })));
  });
}

async function findCompiler(): Promise<string> {
  const candidates = process.env.CXX ? [process.env.CXX] : ['c++', 'g++', 'clang++'];
  for (const candidate of candidates) if ((await runTool(candidate, ['--version'])).code === 0) return candidate;
  throw new RoundoffError(
    'not-found',
    `There is no C++ compiler (${candidates.join(', ')}), and the binding to TensorFlow has to be built on this machine.`,
    process.platform === 'darwin'
      ? 'Install Apple’s command line tools: `xcode-select --install`.'
      : 'Install one: `sudo apt install g++` (Debian, Ubuntu), `sudo dnf install gcc-c++` (Fedora), `sudo pacman -S gcc` (Arch).',
  );
}

/** In an installed app they lie beside the bundled Node: installers leave C++ sources out of packages. */
function bindingSources(nodeDir: string): string {
  const bundled = path.join(nodeDir, 'tensorflow-binding');
  if (existsSync(bundled)) return bundled;
  try {
    return path.join(path.dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-node-gpu/package.json')), 'binding');
  } catch (cause) {
    throw new RoundoffError(
      'not-found',
      'The package @tensorflow/tfjs-node-gpu is not installed.',
      'Reinstall Roundoff, or run `npm ci`.',
      { cause },
    );
  }
}
