/** SwiGLU on the webgpu backend, one dispatch forward and one back, which recomputes the sigmoid instead of keeping it. */
import type * as tf from '@tensorflow/tfjs-core';
import { elementwise } from '../gpu-elementwise.ts';
import { registerGpuKernel } from '../gpu-kernel.ts';
import { sizeOf } from '../kernel.ts';

type Inputs = Record<'gate' | 'up' | 'dy', tf.TensorInfo>;

/** The exponent stays where f32 holds it. */
const declarations = 'fn sigmoid(x : Value) -> Value { return 1.0 / (1.0 + exp(min(-x, Value(80.0)))); }';

registerGpuKernel('Swiglu', ({ inputs, output }) => {
  const { gate, up } = inputs as Inputs;
  const y = output(gate.shape);
  elementwise({
    name: 'swiglu',
    reads: { gate, up },
    writes: { y },
    count: sizeOf(gate),
    declarations,
    code: 'let g = gate[place]; y[place] = g * sigmoid(g) * up[place];',
  });
  return [y];
});

registerGpuKernel('SwigluGrad', ({ inputs, output }) => {
  const { gate, up, dy } = inputs as Inputs;
  const [dGate, dUp] = [output(gate.shape), output(gate.shape)] as const;
  elementwise({
    name: 'swiglu-gradient',
    reads: { gate, up, dy },
    writes: { dGate, dUp },
    count: sizeOf(gate),
    declarations,
    code: `let g = gate[place];
  let d = dy[place];
  let s = sigmoid(g);
  dUp[place] = d * g * s;
  dGate[place] = d * up[place] * s * (1.0 + g * (1.0 - s));`,
  });
  return [dGate, dUp];
});
