/**
 * The 861K-parameter decoder whose training step is the engine's yardstick: batch 16, 64 tokens, width 128, 4 layers of 4 heads, MLP 384,
 * vocabulary 64, tied embeddings, Adam. Small enough that every overhead shows. Here in plain tensor ops, for the stock backends;
 * in the engine's ops in toy-engine-step.ts.
 */
import * as tf from '@tensorflow/tfjs-core';

export const toyShape = { batch: 16, seq: 64, width: 128, layers: 4, heads: 4, mlp: 384, vocab: 64 } as const;
export const toyTokens = toyShape.batch * toyShape.seq;

export const learningRate = 1e-3;

/** Linear weights are [out, in]. */
interface ToyLayer {
  q: tf.Variable;
  k: tf.Variable;
  v: tf.Variable;
  o: tf.Variable;
  gate: tf.Variable;
  up: tf.Variable;
  down: tf.Variable;
  attentionNorm: tf.Variable;
  mlpNorm: tf.Variable;
}

export interface ToyModel {
  embedding: tf.Variable;
  layers: ToyLayer[];
  variables: tf.Variable[];
  /** int32 [batch, seq]; inputs and targets alike, as only the time matters. */
  ids: tf.Tensor2D;
}

/** The same weights and ids for the same seed, on every backend. */
export function createToyModel(seed = 1): ToyModel {
  const { batch, seq, width, mlp, vocab } = toyShape;
  const variables: tf.Variable[] = [];
  const keep = (values: tf.Tensor): tf.Variable => {
    const variable = tf.variable(values);
    values.dispose();
    variables.push(variable);
    return variable;
  };
  let stream = seed;
  const matrix = (rows: number, columns: number) => keep(tf.randomNormal([rows, columns], 0, 0.02, 'float32', stream++));
  const ones = () => keep(tf.ones([width]));
  const layer = (): ToyLayer => ({
    q: matrix(width, width),
    k: matrix(width, width),
    v: matrix(width, width),
    o: matrix(width, width),
    gate: matrix(mlp, width),
    up: matrix(mlp, width),
    down: matrix(width, mlp),
    attentionNorm: ones(),
    mlpNorm: ones(),
  });
  const table = matrix(vocab, width);
  const layers = Array.from({ length: toyShape.layers }, layer);
  const ids = tf.randomUniform([batch, seq], 0, vocab, 'int32', stream) as tf.Tensor2D;
  return { embedding: table, layers, variables, ids };
}

/** Frees the model. */
export function disposeToyModel(model: ToyModel): void {
  tf.dispose([...model.variables, model.ids]);
}

/** One training step in plain tensor ops and tfjs's own Adam; returns the loss before the update, which the caller disposes. */
export function plainStep(model: ToyModel): () => tf.Scalar {
  const optimizer = tf.train.adam(learningRate);
  return () => optimizer.minimize(() => plainLoss(model), true, model.variables) as tf.Scalar;
}

export function plainLoss(model: ToyModel): tf.Scalar {
  const { batch, seq, width, heads, vocab } = toyShape;
  // The stock wasm kernel writes integers into a float32 one-hot, hence the cast.
  const targets = tf.cast(tf.oneHot(tf.reshape(model.ids, [-1]), vocab), 'float32') as tf.Tensor2D;
  const mask = tf.mul(tf.sub(1, tf.linalg.bandPart(tf.ones([seq, seq]), -1, 0)), -1e9);
  const apply = (x: tf.Tensor, weight: tf.Variable) => {
    const rows = tf.matMul(tf.reshape(x, [-1, weight.shape[1]!]) as tf.Tensor2D, weight as unknown as tf.Tensor2D, false, true);
    return tf.reshape(rows, [batch, seq, weight.shape[0]!]);
  };
  const norm = (x: tf.Tensor, weight: tf.Variable) => tf.mul(tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), 1e-6))), weight);
  const split = (x: tf.Tensor) => tf.transpose(tf.reshape(x, [batch, seq, heads, width / heads]), [0, 2, 1, 3]);
  let x = tf.reshape(tf.matMul(targets, model.embedding as unknown as tf.Tensor2D), [batch, seq, width]) as tf.Tensor;
  for (const layer of model.layers) {
    const h = norm(x, layer.attentionNorm);
    const scores = tf.mul(tf.matMul(split(apply(h, layer.q)), split(apply(h, layer.k)), false, true), 1 / Math.sqrt(width / heads));
    const mixed = tf.matMul(tf.softmax(tf.add(scores, mask)), split(apply(h, layer.v)));
    x = tf.add(x, apply(tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [batch, seq, width]), layer.o));
    const m = norm(x, layer.mlpNorm);
    const gate = apply(m, layer.gate);
    x = tf.add(x, apply(tf.mul(tf.mul(gate, tf.sigmoid(gate)), apply(m, layer.up)), layer.down));
  }
  const logits = tf.matMul(tf.reshape(x, [-1, width]) as tf.Tensor2D, model.embedding as unknown as tf.Tensor2D, false, true);
  return tf.neg(tf.mean(tf.sum(tf.mul(tf.logSoftmax(logits), targets), -1))) as tf.Scalar;
}
