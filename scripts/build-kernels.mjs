/**
 * Compiles the AssemblyScript kernels to one WebAssembly module and writes it, as base64 with a hash of what it was made from, into
 * `kernels-binary.ts`, which is committed: an import then works alike under Node, tests and bundlers. Does nothing when the hash still fits.
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
const sourceDir = join(root, 'src-main/engine/backends/wasm/kernels');
const outputPath = join(root, 'src-main/engine/backends/wasm/kernels-binary.ts');
const compilerFlags = ['-O3', '--converge', '--noAssert', '--runtime', 'stub', '--importMemory', '--enable', 'simd,relaxed-simd'];

/** Hash of every source, the flags and the compiler's version. */
export function sourceHash() {
  const hash = createHash('sha256');
  const require = createRequire(import.meta.url);
  hash.update(JSON.stringify([compilerFlags, require('assemblyscript/package.json').version]));
  for (const file of readdirSync(sourceDir).sort()) hash.update(`\0${file}\0${readFileSync(join(sourceDir, file), 'utf8')}`);
  return hash.digest('hex');
}

/** Compiles the kernels; returns the module's bytes. Throws with the compiler's messages. */
export async function compileKernels() {
  const { default: asc } = await import('assemblyscript/asc');
  let binary = null;
  const { error, stderr } = await asc.main(['index.ts', '--outFile', 'kernels.wasm', ...compilerFlags], {
    readFile: (name) => (existsSync(join(sourceDir, name)) ? readFileSync(join(sourceDir, name), 'utf8') : null),
    writeFile: (name, data) => {
      if (name.endsWith('.wasm')) binary = data;
    },
    listFiles: () => [],
  });
  if (error || !binary) throw new Error(`AssemblyScript: ${error?.message ?? 'no output'}\n${stderr}`);
  return binary;
}

/** The text of `kernels-binary.ts`. */
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

async function main() {
  const hash = sourceHash();
  const current = existsSync(outputPath) ? readFileSync(outputPath, 'utf8') : '';
  if (current.includes(`'${hash}'`)) return;
  if (process.argv.includes('--check')) {
    console.error('src-main/engine/backends/wasm/kernels-binary.ts is older than its sources. Run: node scripts/build-kernels.mjs');
    process.exitCode = 1;
    return;
  }
  const binary = await compileKernels();
  writeFileSync(outputPath, renderModule(binary, hash));
  console.error(`Compiled the SIMD kernels (${(binary.length / 1024).toFixed(1)} KB).`);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) await main();
