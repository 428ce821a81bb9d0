/**
 * Compiles the AssemblyScript kernels, one WebAssembly module per folder, and writes each, as base64 with a hash of what it was made from,
 * into its `kernels-binary.ts`, which is committed: an import then works alike under Node, tests and bundlers. Skips what still fits.
 *
 *   node scripts/build-kernels.mjs            compile if the sources changed
 *   node scripts/build-kernels.mjs --check    fail if they changed
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const flags = [
  ...['-O3', '--converge', '--noAssert', '--runtime', 'stub'],
  ...['--importMemory', '--sharedMemory', '--maximumMemory', '65536', '--enable', 'simd,relaxed-simd,threads'],
];

/** `folders` holds every source a module is made of; the first one has its entry, `index.ts`. */
export const kernelModules = {
  /** The fused ops, working in the memory of the wasm backend, which threads share. */
  ops: {
    folders: ['src-main/engine/backends/wasm/kernels'],
    output: 'src-main/engine/backends/wasm/kernels-binary.ts',
    flags,
  },
  /** The decode engine, in a memory of its own that threads share. */
  decode: {
    folders: ['src-main/engine/rollouts/kernels', 'src-main/engine/backends/wasm/kernels'],
    output: 'src-main/engine/rollouts/cpu/kernels-binary.ts',
    flags,
  },
};

/** Hash of every source, the flags and the compiler's version. */
export function sourceHash({ folders, flags } = kernelModules.ops) {
  const hash = createHash('sha256');
  const require = createRequire(import.meta.url);
  hash.update(JSON.stringify([flags, require('assemblyscript/package.json').version]));
  for (const folder of folders) {
    for (const file of readdirSync(join(root, folder)).sort()) {
      hash.update(`\0${folder}/${file}\0${readFileSync(join(root, folder, file), 'utf8')}`);
    }
  }
  return hash.digest('hex');
}

/** Compiles a module's kernels; returns its bytes. Throws with the compiler's messages. */
export async function compileKernels({ folders, flags } = kernelModules.ops) {
  const { default: asc } = await import('assemblyscript/asc');
  let binary = null;
  const { error, stderr } = await asc.main([`${folders[0]}/index.ts`, '--outFile', 'kernels.wasm', ...flags], {
    readFile: (name) => (existsSync(join(root, name)) ? readFileSync(join(root, name), 'utf8') : null),
    writeFile: (name, data) => {
      if (name.endsWith('.wasm')) binary = data;
    },
    listFiles: () => [],
  });
  if (error || !binary) throw new Error(`AssemblyScript: ${error?.message ?? 'no output'}\n${stderr}`);
  return binary;
}

/** The text of a `kernels-binary.ts`. */
export function renderModule(binary, hash) {
  const lines = Buffer.from(binary)
    .toString('base64')
    .match(/.{1,120}/g);
  return [
    '/** Made by scripts/build-kernels.mjs from kernels/*.ts; do not edit. */',
    `export const kernelSourceHash = '${hash}';`,
    'export const kernelBinaryBase64 = [',
    ...lines.map((line) => `  '${line}',`),
    "].join('');",
    '',
  ].join('\n');
}

async function build(name, kernels) {
  const hash = sourceHash(kernels);
  const output = join(root, kernels.output);
  const current = existsSync(output) ? readFileSync(output, 'utf8') : '';
  if (current.includes(`'${hash}'`)) return;
  if (process.argv.includes('--check')) {
    console.error(`${kernels.output} is older than its sources. Run: node scripts/build-kernels.mjs`);
    process.exitCode = 1;
    return;
  }
  const binary = await compileKernels(kernels);
  writeFileSync(output, renderModule(binary, hash));
  console.error(`Compiled the SIMD kernels of ${name} (${(binary.length / 1024).toFixed(1)} KB).`);
}

async function main() {
  for (const [name, kernels] of Object.entries(kernelModules)) await build(name, kernels);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) await main();
