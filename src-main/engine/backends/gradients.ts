/**
 * Gradients of the basic tensor ops that models here are composed of. tfjs-core's Node build has none (they come with the far larger `tfjs`
 * package), so importing this module registers them; ops of our own bring theirs along.
 */
import * as tf from '@tensorflow/tfjs-core';

type Thunks = Record<string, () => tf.Tensor>;
type Attributes = Record<string, unknown>;

/** What an op saves for its backward pass, and the gradient of each input given the output's gradient and the saved tensors. */
interface Gradient {
  inputs?: string[];
  output?: boolean;
  backward(dy: tf.Tensor, saved: tf.Tensor[], attributes: Attributes): Thunks;
}

const both = ['a', 'b'];

const gradients: Record<string, Gradient> = {
  Add: { inputs: both, backward: (dy, [a, b]) => ({ a: () => unbroadcast(dy, a!), b: () => unbroadcast(dy, b!) }) },
  Sub: { inputs: both, backward: (dy, [a, b]) => ({ a: () => unbroadcast(dy, a!), b: () => unbroadcast(tf.neg(dy), b!) }) },
  Multiply: {
    inputs: both,
    backward: (dy, [a, b]) => ({ a: () => unbroadcast(tf.mul(dy, b!), a!), b: () => unbroadcast(tf.mul(dy, a!), b!) }),
  },
  RealDiv: {
    inputs: both,
    backward: (dy, [a, b]) => ({
      a: () => unbroadcast(tf.div(dy, b!), a!),
      b: () => unbroadcast(tf.neg(tf.div(tf.mul(dy, a!), tf.square(b!))), b!),
    }),
  },
  Neg: { backward: (dy) => ({ x: () => tf.neg(dy) }) },
  Square: { inputs: ['x'], backward: (dy, [x]) => ({ x: () => tf.mul(dy, tf.mul(x!, 2)) }) },
  Sqrt: { output: true, backward: (dy, [y]) => ({ x: () => tf.div(dy, tf.mul(y!, 2)) }) },
  Rsqrt: { output: true, backward: (dy, [y]) => ({ x: () => tf.mul(dy, tf.mul(tf.mul(y!, tf.square(y!)), -0.5)) }) },
  Exp: { output: true, backward: (dy, [y]) => ({ x: () => tf.mul(dy, y!) }) },
  Log: { inputs: ['x'], backward: (dy, [x]) => ({ x: () => tf.div(dy, x!) }) },
  Tanh: { output: true, backward: (dy, [y]) => ({ x: () => tf.mul(dy, tf.sub(1, tf.square(y!))) }) },
  Sigmoid: { output: true, backward: (dy, [y]) => ({ x: () => tf.mul(dy, tf.mul(y!, tf.sub(1, y!))) }) },
  Softmax: {
    output: true,
    backward: (dy, [y]) => ({ logits: () => tf.mul(tf.sub(dy, tf.sum(tf.mul(dy, y!), -1, true)), y!) }),
  },
  LogSoftmax: {
    output: true,
    backward: (dy, [y]) => ({ logits: () => tf.sub(dy, tf.mul(tf.sum(dy, -1, true), tf.exp(y!))) }),
  },
  Sum: { inputs: ['x'], backward: (dy, [x], { axis }) => ({ x: () => spread(dy, x!, axis as number[]) }) },
  Mean: {
    inputs: ['x'],
    backward: (dy, [x], { axis }) => ({ x: () => tf.mul(spread(dy, x!, axis as number[]), dy.size / x!.size) }),
  },
  BatchMatMul: { inputs: both, backward: matMulGradient },
  Identity: { backward: (dy) => ({ x: () => tf.clone(dy) }) },
  Cast: { backward: (dy) => ({ x: () => tf.clone(dy) }) },
  Reshape: { inputs: ['x'], backward: (dy, [x]) => ({ x: () => tf.reshape(dy, x!.shape) }) },
  ExpandDims: { inputs: ['input'], backward: (dy, [x]) => ({ input: () => tf.reshape(dy, x!.shape) }) },
  Transpose: {
    backward: (dy, _saved, { perm }) => ({ x: () => tf.transpose(dy, inverse(perm as number[])) }),
  },
  Slice: {
    inputs: ['x'],
    backward: (dy, [x], { begin }) => {
      const starts = (Array.isArray(begin) ? begin : [begin]) as number[];
      const around = x!.shape.map((size, axis): [number, number] => {
        const start = starts[axis] ?? 0;
        return [start, size - start - dy.shape[axis]!];
      });
      return { x: () => tf.pad(dy, around) };
    },
  },
};

registerGradients();

/** Registers them all, over any that a package brought along. */
export function registerGradients(): void {
  for (const [kernelName, { inputs = [], output = false, backward }] of Object.entries(gradients)) {
    tf.registerGradient({
      kernelName,
      inputsToSave: inputs,
      outputsToSave: [output],
      gradFunc: (dy, saved, attributes) => backward(dy as tf.Tensor, saved, attributes as Attributes),
    });
  }
  registerListGradients();
}

/** Ops with a list of inputs or outputs. */
function registerListGradients(): void {
  tf.registerGradient({
    kernelName: 'Concat',
    saveAllInputs: true,
    gradFunc: (dy, saved, attributes) => {
      const axis = tf.util.parseAxisParam((attributes as Attributes).axis as number, saved[0]!.shape)[0]!;
      const parts = tf.split(
        dy as tf.Tensor,
        saved.map((part) => part.shape[axis]!),
        axis,
      );
      return Object.fromEntries(parts.map((part, index) => [String(index), () => part]));
    },
  });
  tf.registerGradient({
    kernelName: 'SplitV',
    gradFunc: (dy, _saved, attributes) => ({ x: () => tf.concat(dy as tf.Tensor[], (attributes as Attributes).axis as number) }),
  });
  tf.registerGradient({
    kernelName: 'AddN',
    saveAllInputs: true,
    gradFunc: (dy, saved) => Object.fromEntries(saved.map((_, index) => [String(index), () => tf.clone(dy as tf.Tensor)])),
  });
}

/** Sums a gradient over the axes along which `input` was broadcast. */
function unbroadcast(dy: tf.Tensor, input: tf.Tensor): tf.Tensor {
  const axes = tf.broadcast_util.getReductionAxes(input.shape, dy.shape);
  return tf.reshape(axes.length > 0 ? tf.sum(dy, axes) : dy, input.shape);
}

/** Repeats a reduced gradient over the axes that were reduced. */
function spread(dy: tf.Tensor, x: tf.Tensor, axis: number | number[]): tf.Tensor {
  const axes = new Set(tf.util.parseAxisParam(axis, x.shape));
  const kept = x.shape.map((size, index) => (axes.has(index) ? 1 : size));
  return tf.mul(tf.reshape(dy, kept), tf.ones(x.shape));
}

function matMulGradient(dy: tf.Tensor, saved: tf.Tensor[], attributes: Attributes): Thunks {
  const [a, b] = saved as [tf.Tensor, tf.Tensor];
  const { transposeA, transposeB } = attributes as { transposeA: boolean; transposeB: boolean };
  return {
    a: () => unbroadcast(transposeA ? tf.matMul(b, dy, transposeB, true) : tf.matMul(dy, b, false, !transposeB), a),
    b: () => unbroadcast(transposeB ? tf.matMul(dy, a, true, transposeA) : tf.matMul(a, dy, !transposeA, false), b),
  };
}

function inverse(permutation: number[]): number[] {
  const result: number[] = [];
  permutation.forEach((from, to) => {
    result[from] = to;
  });
  return result;
}
