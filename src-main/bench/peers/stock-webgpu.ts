/** tfjs-backend-webgpu as it is published, on the adapter that we use: the matrix product, and the training step of the yardstick decoder. */
import * as tf from '@tensorflow/tfjs-core';
import { findAdapter } from '../../engine/backends/webgpu/adapter.ts';
import { timeGemm } from '../../engine/bench/gemm.ts';
import { createToyModel, plainStep } from '../../engine/bench/toy-model.ts';
import type { PeerCaseId, PeerSizes } from './cases.ts';

export async function measureStockWebgpu(caseId: PeerCaseId, { gemm, repeats }: PeerSizes): Promise<{ value: number; unit: string }> {
  const { adapter } = await findAdapter({ allowSoftware: true });
  // The package's own factory asks this object for its adapter, at import and at start.
  Object.defineProperty(globalThis.navigator, 'gpu', { value: { requestAdapter: async () => adapter }, configurable: true });
  await import('@tensorflow/tfjs-backend-webgpu');
  if (!(await tf.setBackend('webgpu'))) throw new Error('tfjs-backend-webgpu did not start');
  if (caseId === 'gemm-f32') return { value: (await timeGemm(gemm, repeats)).flopsPerSecond / 1e9, unit: 'GFLOPS' };
  const step = plainStep(createToyModel());
  let fastest = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 2 + 10 * repeats; i++) {
    const start = performance.now();
    const loss = step();
    await loss.data();
    loss.dispose();
    if (i >= 2) fastest = Math.min(fastest, performance.now() - start);
  }
  return { value: fastest, unit: 'ms/step' };
}
