/** onnxruntime-node through its own JavaScript interface: the matrix product on the processor. */
import { singleNodeModel } from '../../engine/backends/wasm/onnx-model.ts';
import { RandomStream } from '../../engine/data/random-stream.ts';
import type { PeerSizes } from './cases.ts';

export async function measureOnnxRuntime({ gemm, repeats }: PeerSizes): Promise<{ value: number; unit: string }> {
  const { InferenceSession, Tensor } = await import('onnxruntime-node');
  const dims = [gemm, gemm];
  const names = ['a', 'b', 'y'].map((name) => ({ name, dims }));
  const model = singleNodeModel({ op: 'MatMul', inputs: ['a', 'b'], outputs: ['y'] }, names.slice(0, 2), names.slice(2));
  const session = await InferenceSession.create(model);
  const stream = new RandomStream(0, 'bench', 'gemm');
  const [a, b] = ['a', 'b'].map((name) => new Tensor('float32', stream.fork(name).normals(gemm * gemm), dims));
  let fastest = Number.POSITIVE_INFINITY;
  for (let repeat = 0; repeat <= 2 * repeats; repeat++) {
    const start = performance.now();
    await session.run({ a: a!, b: b! });
    if (repeat > 0) fastest = Math.min(fastest, performance.now() - start);
  }
  return { value: (2 * gemm ** 3) / (fastest * 1e6), unit: 'GFLOPS' };
}
