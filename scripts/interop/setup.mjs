/**
 * Fetches what `npm run test:interop` holds Roundoff's exports against: other runtimes' own loaders. They are no dependencies of the app and
 * go into `.cache/interop` (git-ignored), pinned, once:
 *   venv/   PyTorch, transformers, gguf, bitsandbytes, PEFT, compressed-tensors, GPTQModel with optimum
 *   llama/  node-llama-cpp with this platform's CPU binary alone (its CUDA binaries would be 540 MB more)
 * What cannot be installed is named with the reason, and the tests that need it are skipped; nothing fails for that.
 *
 * Other sources, and offline use:
 *   ROUNDOFF_PYTHON=/path/to/python   take this Python as it is and install nothing; tests of packages it lacks are skipped
 *   ROUNDOFF_LLAMA=/path/to/folder    a folder with node_modules/node-llama-cpp
 *   or copy .cache/interop from a machine of the same platform, at the same path (a venv holds absolute paths);
 *   or fill a folder with `pip download` elsewhere and set PIP_NO_INDEX=1 and PIP_FIND_LINKS=FOLDER.
 * On Linux the default PyTorch wheel brings CUDA along (several GB); set PIP_EXTRA_INDEX_URL to PyTorch's CPU index to avoid that.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const cache = path.join(root, '.cache', 'interop');
const windows = process.platform === 'win32';
const say = (text) => console.error(`[interop] ${text}`);

/** What is installed together; `imports` are the modules that must then load. Later groups build on the first. */
const pythonGroups = [
  {
    packages: ['numpy==2.4.6', 'torch==2.14.1', 'transformers==5.24.0', 'accelerate==1.15.0', 'safetensors==0.8.0'],
    imports: ['torch', 'transformers', 'accelerate'],
  },
  { packages: ['gguf==0.19.0'], imports: ['gguf'] },
  { packages: ['bitsandbytes==0.50.2'], imports: ['bitsandbytes'] },
  { packages: ['peft==0.21.2'], imports: ['peft'] },
  { packages: ['compressed-tensors==0.20.0'], imports: ['compressed_tensors'] },
  { packages: ['optimum==2.3.0', 'gptqmodel==7.7.0'], imports: ['gptqmodel'], needsTorchToBuild: true },
];
const llamaVersion = '3.22.1';

mkdirSync(cache, { recursive: true });
const python = process.env.ROUNDOFF_PYTHON ? { path: process.env.ROUNDOFF_PYTHON } : ownPython();
const setup = { ...probePython(python), ...llama() };
writeFileSync(path.join(cache, 'setup.json'), `${JSON.stringify(setup, null, 2)}\n`);
const found = Object.entries(setup.modules).map(([name, version]) => `${name} ${version}`);
say(`Python: ${found.length > 0 ? found.join(', ') : 'none'}`);
say(`llama.cpp: ${setup.llamaDir ? `node-llama-cpp ${llamaVersion}` : 'none'}`);
for (const [name, reason] of Object.entries(setup.missing)) say(`without ${name}: ${reason}`);

/** The venv's Python with as many groups as could be installed. */
function ownPython() {
  const venv = path.join(cache, 'venv');
  const executable = path.join(venv, windows ? 'Scripts/python.exe' : 'bin/python');
  if (!existsSync(executable)) {
    const base = ['python3', 'python'].find(
      (name) => spawnSync(name, ['-c', 'import sys, venv; sys.exit(sys.version_info < (3, 10))']).status === 0,
    );
    if (!base)
      return { path: null, reason: 'no Python 3.10 or newer with venv was found on the path; install one, or name it in ROUNDOFF_PYTHON' };
    say('making a Python environment in .cache/interop/venv…');
    const made = spawnSync(base, ['-m', 'venv', venv], { encoding: 'utf8' });
    if (made.status !== 0) return { path: null, reason: lastLine(made) };
  }
  const failures = {};
  for (const group of pythonGroups) {
    const reason = installGroup(venv, executable, group);
    if (reason) for (const name of group.imports) failures[name] = reason;
    if (reason && group === pythonGroups[0]) break;
  }
  return { path: executable, failures };
}

/** Null, or why pip could not install the group. */
function installGroup(venv, executable, { packages, needsTorchToBuild }) {
  const stamp = path.join(venv, `.installed-${packages.join('+').replace(/[^\w.+-]/g, '-')}`);
  if (existsSync(stamp)) return null;
  say(`installing ${packages.join(', ')}…`);
  const isolation = needsTorchToBuild ? ['--no-build-isolation'] : [];
  if (needsTorchToBuild) spawnSync(executable, ['-m', 'pip', 'install', '--quiet', 'setuptools', 'wheel'], { stdio: 'ignore' });
  const args = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--retries', '2', ...isolation, ...packages];
  const result = spawnSync(executable, args, { encoding: 'utf8', timeout: 3_600_000 });
  if (result.status !== 0) return `pip could not install ${packages.join(' ')}: ${lastLine(result)}`;
  writeFileSync(stamp, '');
  return null;
}

/** Which modules load, in which version. */
function probePython({ path: executable, reason, failures = {} }) {
  const names = pythonGroups.flatMap((group) => group.imports);
  const missing = {};
  const modules = {};
  for (const name of names) {
    const result = executable
      ? spawnSync(executable, ['-c', `import ${name}, importlib.metadata as m; print(m.version("${name.replace('_', '-')}"))`], {
          encoding: 'utf8',
        })
      : { status: 1, stderr: reason };
    if (result.status === 0) modules[name] = result.stdout.trim().split('\n').at(-1);
    else missing[name] = failures[name] ?? lastLine(result);
  }
  return { python: executable, modules, missing };
}

/** node-llama-cpp in a folder of its own: `{ llamaDir }`, or `{ llamaDir: null }` with the reason among the missing. */
function llama() {
  const dir = process.env.ROUNDOFF_LLAMA ?? path.join(cache, 'llama');
  const installed = path.join(dir, 'node_modules', 'node-llama-cpp', 'package.json');
  const reason = existsSync(installed)
    ? wrongVersion(installed)
    : process.env.ROUNDOFF_LLAMA
      ? `${installed} does not exist`
      : installLlama(dir);
  if (!reason) return { llamaDir: dir };
  say(`without node-llama-cpp: ${reason}`);
  return { llamaDir: null, llamaReason: reason };
}

function wrongVersion(file) {
  const { version } = JSON.parse(readFileSync(file, 'utf8'));
  return version === llamaVersion ? null : `${file} is version ${version}, but ${llamaVersion} is tested; remove the folder`;
}

function installLlama(dir) {
  const platforms = { 'darwin-arm64': 'mac-arm64-metal', 'darwin-x64': 'mac-x64', 'win32-x64': 'win-x64', 'win32-arm64': 'win-arm64' };
  const own = `${process.platform}-${process.arch}`;
  mkdirSync(dir, { recursive: true });
  writeFileSync(path.join(dir, 'package.json'), '{ "private": true }\n');
  say(`installing node-llama-cpp ${llamaVersion}…`);
  const wanted = [`node-llama-cpp@${llamaVersion}`, `@node-llama-cpp/${platforms[own] ?? own}@${llamaVersion}`];
  const args = [
    'install',
    '--omit=optional',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--fetch-retries=1',
    '--loglevel=error',
    ...wanted,
  ];
  const result = spawnSync(windows ? 'npm.cmd' : 'npm', args, { cwd: dir, encoding: 'utf8', shell: windows });
  return result.status === 0 ? null : `npm could not install ${wanted.join(' ')}: ${lastLine(result)}`;
}

/** The line of an installer's output that says what went wrong. */
function lastLine({ stderr, stdout, error }) {
  const lines = `${stdout ?? ''}\n${stderr ?? ''}`.split('\n').filter((line) => line.trim() !== '');
  const telling = lines.filter((line) => /error|cannot|could not|not found/i.test(line) && !/complete log|A complete/i.test(line)).at(-1);
  return (telling ?? lines.at(-1) ?? error?.message ?? 'no message').trim();
}
