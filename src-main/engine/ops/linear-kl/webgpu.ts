/** The chunked output layer and divergence on the webgpu backend. */
import type * as tf from '@tensorflow/tfjs-core';
import { type GpuCall, registerGpuKernel } from '../gpu-kernel.ts';
import {
  addGradients,
  blockCode,
  blocksOf,
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

interface Inputs extends Record<'hidden' | 'head' | 'shares', tf.TensorInfo> {
  teacherHidden?: tf.TensorInfo;
  teacherHead?: tf.TensorInfo;
  indices?: tf.TensorInfo;
  teacherLogits?: tf.TensorInfo;
}

interface Settings {
  inverseTemperature: number;
  mix: number;
}

/** Outputs the loss and, for a loss gradient of 1, the gradients: that of the head where it is wanted. A token outside the vocabulary gives NaN. */
registerGpuKernel('LinearKl', (call) => {
  const { hidden, head, teacherHidden, teacherHead, indices } = call.inputs as unknown as Inputs;
  const { temperature, mix, chunkRows: wanted } = call.attributes as Record<'temperature' | 'mix' | 'chunkRows', number>;
  const settings = { inverseTemperature: 1 / temperature, mix };
  const rows = hidden.shape[0]!;
  const vocab = head.shape[0]!;
  if (indices) checkPendingIds(indices, vocab);
  const chunkRows = chunkRowsFor(rows, vocab, wanted);
  const gradients = { dHidden: call.output(hidden.shape), ...(call.attributes.headGradient ? { dHead: call.output(head.shape) } : {}) };
  const loss = call.output([]);
  const losses = call.scratch([rows]);
  const logits = call.scratch([chunkRows, vocab]);
  const stats = call.scratch([chunkRows, 4]);
  const said = teacherHead ? { logits: call.scratch([chunkRows, vocab]), stats: call.scratch([chunkRows, 4]) } : null;
  for (let start = 0; start < rows; start += chunkRows) {
    const chunk = { logits, start, rows: Math.min(chunkRows, rows - start) };
    computeLogits({ hidden, head }, chunk);
    softmaxStatistics(call, chunk, stats, settings.inverseTemperature);
    if (said) {
      const teacher = { ...chunk, logits: said.logits };
      computeLogits({ hidden: teacherHidden!, head: teacherHead! }, teacher);
      softmaxStatistics(call, teacher, said.stats, settings.inverseTemperature);
      fullDivergence(call, chunk, { stats, losses, teacher: said.logits, teacherStats: said.stats }, settings);
    } else topDivergence(call, chunk, { stats, losses }, settings);
    addGradients({ hidden, head }, chunk, gradients);
  }
  sumLosses(call, losses, loss);
  return [loss, ...Object.values(gradients)];
});

/** Losses of a chunk against a teacher of the whole vocabulary; the logits become their gradient. */
function fullDivergence(
  call: GpuCall,
  { logits, start, rows }: Chunk,
  { stats, losses, teacher, teacherStats }: Record<'stats' | 'losses' | 'teacher' | 'teacherStats', tf.TensorInfo>,
  { inverseTemperature, mix }: Settings,
): void {
  const { shares } = call.inputs as unknown as Inputs;
  const vocab = logits.shape[1]!;
  const blocks = blocksOf(vocab);
  const parts = call.scratch([rows, blocks, 2]);
  const as = 'vec4<f32>';
  const both = { teacher, stats: { of: stats, as }, teacherStats: { of: teacherStats, as } };
  call.dispatch({
    name: 'divergence-blocks',
    reads: { logits, ...both },
    writes: { parts: { of: parts, as: 'vec2<f32>' } },
    integers: { vocab, blocks },
    floats: { inverseTemperature },
    workgroups: [blocks, rows, 1],
    code: () =>
      blockCode(
        `
      let known = stats[row];
      let said = teacherStats[row];
      var sums = vec2(0.0);
      for (var j = begin; j < end; j += groupSize) {
        let ls = (logits[j] - known.x) * parameters.inverseTemperature - known.w;
        let lt = (teacher[j] - said.x) * parameters.inverseTemperature - said.w;
        let ps = exp(ls);
        let pt = exp(lt);
        sums += vec2(divergence(pt, ps, ls - lt), divergence(ps, pt, lt - ls));
      }
      sums = sumOverGroup(lane, sums);
      if (lane == 0u) { parts[row * parameters.blocks + id.x] = sums; }`,
        excess + divergence,
      ),
  });
  const rowSums = call.scratch([rows, 2]);
  call.dispatch({
    name: 'divergence-rows',
    reads: { parts: { of: parts, as: 'vec2<f32>' }, shares },
    writes: { rowSums: { of: rowSums, as: 'vec2<f32>' }, losses },
    integers: { rows, start, blocks },
    floats: { mix },
    workgroups: rowGroups(rows),
    code: () =>
      rowCode(`
      var sums = vec2(0.0);
      for (var block = 0u; block < parameters.blocks; block++) { sums += parts[row * parameters.blocks + block]; }
      let share = shares[item];
      losses[item] = select(share * mix(sums.x, sums.y, parameters.mix), 0.0, share == 0.0);
      rowSums[row] = vec2(share, sums.y);`),
  });
  call.dispatch({
    name: 'divergence-gradient',
    reads: { ...both, rowSums: { of: rowSums, as: 'vec2<f32>' } },
    writes: { logits },
    integers: { vocab },
    floats: { inverseTemperature, mix },
    workgroups: [blocks, rows, 1],
    code: () =>
      blockCode(`
      let known = stats[row];
      let said = teacherStats[row];
      let share = rowSums[row].x;
      let reverse = rowSums[row].y;
      let factor = share * parameters.inverseTemperature;
      for (var j = begin; j < end; j += groupSize) {
        let ls = (logits[j] - known.x) * parameters.inverseTemperature - known.w;
        let lt = (teacher[j] - said.x) * parameters.inverseTemperature - said.w;
        let ps = exp(ls);
        let ofForward = (1.0 - parameters.mix) * (ps - exp(lt));
        let ofReverse = parameters.mix * ps * (ls - lt - reverse);
        logits[j] = select(factor * (ofForward + ofReverse), 0.0, share == 0.0);
      }`),
  });
}

/** p·(eᵈ − 1 − d), where q = p·eᵈ: no term is negative. */
const divergence = `
    fn divergence(p : f32, q : f32, d : f32) -> f32 { return select(q - p - p * d, p * excess(d), abs(d) <= 0.25); }`;

/** The same for a teacher known by k tokens of each row. */
function topDivergence(
  call: GpuCall,
  chunk: Chunk,
  { stats, losses }: Record<'stats' | 'losses', tf.TensorInfo>,
  { inverseTemperature }: Settings,
): void {
  const { shares, indices, teacherLogits } = call.inputs as unknown as Required<Inputs>;
  const { logits, start, rows } = chunk;
  const vocab = logits.shape[1]!;
  const k = indices.shape[1]!;
  const teacherStats = call.scratch([rows, 2]);
  call.dispatch({
    name: 'top-divergence-rows',
    reads: { logits, indices, teacherLogits, shares },
    writes: { stats: { of: stats, as: 'vec4<f32>' }, teacherStats: { of: teacherStats, as: 'vec2<f32>' }, losses },
    integers: { rows, start, vocab, k, nan },
    floats: { inverseTemperature },
    workgroups: rowGroups(rows),
    code: () =>
      rowCode(`
      let first = item * parameters.k;
      var largest = teacherLogits[first];
      for (var i = 1u; i < parameters.k; i++) { largest = max(largest, teacherLogits[first + i]); }
      var total = 0.0;
      for (var i = 0u; i < parameters.k; i++) { total += exp((teacherLogits[first + i] - largest) * parameters.inverseTemperature); }
      let logTotal = log(total);
      let known = stats[row];
      var sum = 0.0;
      for (var i = 0u; i < parameters.k; i++) {
        let lt = (teacherLogits[first + i] - largest) * parameters.inverseTemperature - logTotal;
        let token = u32(indices[first + i]);
        let place = row * parameters.vocab + min(token, parameters.vocab - 1u);
        let ls = (logits[place] - known.x) * parameters.inverseTemperature - known.w;
        sum += select(bitcast<f32>(parameters.nan), exp(lt) * (lt - ls), token < parameters.vocab);
      }
      let share = shares[item];
      losses[item] = select(share * sum, 0.0, share == 0.0);
      teacherStats[row] = vec2(largest, logTotal);
      stats[row] = vec4(known.x, select(share * parameters.inverseTemperature / known.y, 0.0, share == 0.0), 0.0, -1.0);`),
  });
  softmaxGradient(call, chunk, stats, inverseTemperature);
  call.dispatch({
    name: 'top-divergence-gradient',
    reads: { indices, teacherLogits, shares, teacherStats: { of: teacherStats, as: 'vec2<f32>' } },
    writes: { logits },
    integers: { rows, start, vocab, k },
    floats: { inverseTemperature },
    workgroups: rowGroups(rows),
    code: () =>
      rowCode(`
      let known = teacherStats[row];
      let factor = shares[item] * parameters.inverseTemperature;
      for (var i = 0u; i < parameters.k; i++) {
        let place = item * parameters.k + i;
        let p = exp((teacherLogits[place] - known.x) * parameters.inverseTemperature - known.y);
        let token = u32(indices[place]);
        if (token < parameters.vocab && factor != 0.0) { logits[row * parameters.vocab + token] -= factor * p; }
      }`),
  });
}
