import { describe, expect, it } from 'vitest';
import { kernelBinaryBase64, kernelSourceHash } from '../../../../src-main/engine/backends/wasm/kernels-binary.ts';

const scriptUrl = new URL('../../../../scripts/build-kernels.mjs', import.meta.url).href;
const { compileKernels, sourceHash } = (await import(scriptUrl)) as { compileKernels(): Promise<Uint8Array>; sourceHash(): string };

const dataSection = 11;

/** Section ids of a WebAssembly module, in order. */
function sections(module: Uint8Array): number[] {
  const ids: number[] = [];
  let at = 8;
  while (at < module.length) {
    ids.push(module[at++]!);
    let size = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = module[at++]!;
      size += (byte & 127) * 2 ** shift;
      if (byte < 128) break;
    }
    at += size;
  }
  return ids;
}

describe('the compiled kernels', () => {
  it('are what the sources compile to', async () => {
    expect(kernelSourceHash).toBe(sourceHash());
    expect(Buffer.from(await compileKernels()).toString('base64')).toBe(kernelBinaryBase64);
  });

  it('have no data of their own, which would overwrite the heap they work in', () => {
    expect(sections(Buffer.from(kernelBinaryBase64, 'base64'))).not.toContain(dataSection);
  });
});
