/** Dropout on the webgpu backend, with the hash of backends/wasm/kernels/dropout.ts: the same elements are dropped. */
import type * as tf from '@tensorflow/tfjs-core';
import { elementwise } from '../gpu-elementwise.ts';
import { registerGpuKernel } from '../gpu-kernel.ts';
import { sizeOf } from '../kernel.ts';
import type { DropoutPattern } from './reference.ts';

registerGpuKernel('SeededDropout', ({ inputs, attributes, output }) => {
  const { x } = inputs as { x: tf.TensorInfo };
  const { seed, threshold, factor } = attributes as unknown as DropoutPattern;
  const y = output(x.shape);
  elementwise({
    name: 'dropout',
    reads: { x },
    writes: { y },
    count: sizeOf(x),
    integers: { seed, threshold },
    floats: { factor },
    declarations: `fn hashOf(number : Whole) -> Whole {
  var h = number * 0x9e3779b9u + parameters.seed;
  h = (h ^ (h >> Whole(16u))) * 0x85ebca6bu;
  h = (h ^ (h >> Whole(13u))) * 0xc2b2ae35u;
  return h ^ (h >> Whole(16u));
}`,
    code: 'y[place] = select(Value(0.0), x[place] * parameters.factor, hashOf(number) >= Whole(parameters.threshold));',
  });
  return [y];
});
