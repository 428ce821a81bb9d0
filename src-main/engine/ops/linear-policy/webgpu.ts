/** The chunked output layer and policy loss on the webgpu backend. */
import type * as tf from '@tensorflow/tfjs-core';
import { type GpuCall, registerGpuKernel } from '../gpu-kernel.ts';
import {
  addGradients,
  type Chunk,
  chunkRowsFor,
  computeLogits,
  excess,
  nan,
  rowCode,
  rowGroups,
  softmaxGradient,
  softmaxStatistics,
  sumLosses,
} from '../logit-chunks.ts';
import { checkPendingIds } from '../token-ids.ts';

type Inputs = Record<'hidden' | 'head' | 'targets' | 'weights', tf.TensorInfo> &
  Partial<Record<'advantages' | 'old' | 'reference' | 'importance', tf.TensorInfo>>;

type Statistics = Record<'logProbabilities' | 'entropies', tf.TensorInfo>;

/**
 * Outputs the loss, log-probabilities, entropies and, for a loss gradient of 1, the gradients: that of the head where it is wanted. A target outside
 * the vocabulary gives NaN.
 */
registerGpuKernel('LinearPolicy', (call) => {
  const inputs = call.inputs as Inputs;
  const { hidden, head } = inputs;
  const settings = call.attributes as Record<'temperature' | 'clipLow' | 'clipHigh' | 'beta', number>;
  const gradients = { dHidden: call.output(hidden.shape), ...(call.attributes.headGradient ? { dHead: call.output(head.shape) } : {}) };
  const loss = call.output([]);
  const losses = call.scratch([hidden.shape[0]!]);
  const results = eachChunk(call, (chunk, stats, { logProbabilities }) => {
    rowLosses(call, chunk, { stats, losses, logProbabilities }, settings);
    softmaxGradient(call, chunk, stats, 1 / settings.temperature);
    addGradients({ hidden, head }, chunk, gradients);
  });
  sumLosses(call, losses, loss);
  return [loss, results.logProbabilities, results.entropies, ...Object.values(gradients)];
});

registerGpuKernel('TokenStatistics', (call) => {
  const { logProbabilities, entropies } = eachChunk(call, () => {});
  return [logProbabilities, entropies];
});

/** Computes the logits and statistics of one chunk after the other. `stats` then has, per row, M, Σ e, and the target's column at 3. */
function eachChunk(call: GpuCall, visit: (chunk: Chunk, stats: tf.TensorInfo, results: Statistics) => void): Statistics {
  const { hidden, head, targets, weights } = call.inputs as Inputs;
  const { temperature, chunkRows: wanted } = call.attributes as Record<'temperature' | 'chunkRows', number>;
  const rows = hidden.shape[0]!;
  const vocab = head.shape[0]!;
  checkPendingIds(targets, vocab);
  const chunkRows = chunkRowsFor(rows, vocab, wanted);
  const results = { logProbabilities: call.output([rows]), entropies: call.output([rows]) };
  const logits = call.scratch([chunkRows, vocab]);
  const stats = call.scratch([chunkRows, 4]);
  for (let start = 0; start < rows; start += chunkRows) {
    const chunk = { logits, start, rows: Math.min(chunkRows, rows - start) };
    computeLogits({ hidden, head }, chunk);
    softmaxStatistics(call, chunk, stats, 1 / temperature);
    call.dispatch({
      name: 'token-statistics',
      reads: { logits, targets, weights },
      writes: { stats: { of: stats, as: 'vec4<f32>' }, ...results },
      integers: { rows: chunk.rows, start, vocab, nan },
      floats: { inverseTemperature: 1 / temperature },
      workgroups: rowGroups(chunk.rows),
      code: () =>
        rowCode(`
      let known = stats[row];
      let token = u32(targets[item]);
      let picked = (logits[row * parameters.vocab + min(token, parameters.vocab - 1u)] - known.x) * parameters.inverseTemperature;
      let logp = select(bitcast<f32>(parameters.nan), picked - known.w, token < parameters.vocab);
      let isLeftOut = weights[item] == 0.0;
      logProbabilities[item] = select(logp, 0.0, isLeftOut);
      entropies[item] = select(known.w - known.z / known.y, 0.0, isLeftOut);
      stats[row].w = f32(token);`),
    });
    visit(chunk, stats, results);
  }
  return results;
}

/** Losses of a chunk's rows; `stats` becomes what `softmaxGradient` needs. */
function rowLosses(
  call: GpuCall,
  { start, rows }: Chunk,
  { stats, losses, logProbabilities }: Record<'stats' | 'losses' | 'logProbabilities', tf.TensorInfo>,
  { temperature, clipLow, clipHigh, beta }: Record<'temperature' | 'clipLow' | 'clipHigh' | 'beta', number>,
): void {
  const { weights, advantages, old, reference, importance } = call.inputs as Required<Inputs>;
  const optional = Object.fromEntries(Object.entries({ old, reference, importance }).filter(([, given]) => given));
  call.dispatch({
    name: ['policy-rows', ...Object.keys(optional)].join('-'),
    reads: { logProbabilities, weights, advantages, ...optional },
    writes: { stats: { of: stats, as: 'vec4<f32>' }, losses },
    integers: { rows, start },
    floats: { inverseTemperature: 1 / temperature, least: 1 - clipLow, most: 1 + clipHigh, beta },
    workgroups: rowGroups(rows),
    code: () =>
      rowCode(
        `
      let known = stats[row];
      let weight = weights[item];
      let logp = logProbabilities[item];
      let ratio = ${old ? 'exp(logp - old[item])' : '1.0'};
      let factor = ${importance ? '-importance[item]' : '-1.0'};
      let free = ratio * advantages[item];
      let held = clamp(ratio, parameters.least, parameters.most) * advantages[item];
      var value = factor * min(free, held);
      var slope = select(0.0, factor * free, free <= held);
      ${reference ? divergenceFromReference : ''}
      let push = select(weight * slope * parameters.inverseTemperature, 0.0, weight == 0.0);
      losses[item] = select(weight * value, 0.0, weight == 0.0);
      stats[row] = vec4(known.x, select(-push / known.y, 0.0, push == 0.0), push, known.w);`,
        excess,
      ),
  });
}

const divergenceFromReference = `
      let distance = reference[item] - logp;
      let k3 = excess(distance);
      value += parameters.beta * k3;
      slope -= parameters.beta * (distance + k3);`;
