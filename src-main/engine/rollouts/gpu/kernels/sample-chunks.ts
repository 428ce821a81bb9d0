/**
 * Kernels of the sampler over the chunks of each row's vocabulary: the largest logit and the sum of weights of each; then, for top-k and top-p,
 * all tokens counted or weighed by their distance to the row's largest logit, and the tokens listed among which the limit falls.
 */
import { idle } from './rows.ts';
import {
  common,
  declareBuffers,
  eachLogit,
  type SamplerBuffer,
  type SamplerPass,
  type SamplerShape,
  scans,
  summarize,
  threads,
} from './sample-common.ts';

/** Bins per unit of the exponent; the last bin takes all that is further away. */
const binsPerUnit = 10;

const buffers: SamplerBuffer[] = ['logits', 'rows', 'selected', 'work', 'settings'];

/** `fn peaks(row, chunk, t)` fills in the chunk's part of the workspace. A chunk of nothing but −∞ has no weights. */
export function peaks(shape: SamplerShape): string {
  const clears = `
  if (chunk == 0u) {
    work[binPlace(row) + t] = 0u;
    if (t == 0u) { work[countPlace(row)] = 0u; }
  }`;
  return `
fn peaks(row : u32, chunk : u32, t : u32) {
  var key = 0u;
  var first = 0u;
  ${eachLogit(shape, 'if (keyOf(logit) > key) { key = keyOf(logit); first = token; }')}
  let best = largest(key, first, t);
  let top = max(logitOf(best.x), -3e38);
  var weights = 0.0;
  ${eachLogit(shape, 'weights += weightOf(logit, top);')}
  let sum = sumOver(weights, t);
  if (t == 0u) {
    work[keyPlace(row) + chunk] = best.x;
    work[tokenPlace(row) + chunk] = best.y;
    work[sumPlace(row) + chunk] = bitcast<u32>(sum);
  }
  ${!shape.isWhole && (shape.byCount || shape.byMass) ? clears : ''}
}`;
}

/** Where no chunk is the whole row: fills in the workspace. */
export function peaksPass(shape: SamplerShape, chunks: number): SamplerPass {
  return chunkPass(shape, chunks, { name: 'peaks', work: 'write', functions: peaks(shape), body: 'peaks(row, chunk, t);' });
}

/** The number of tokens in each bin, or their mass. */
export function binsPass(shape: SamplerShape, chunks: number): SamplerPass {
  const amount = shape.byCount ? '1u' : 'partOf(exp(exponent), total)';
  return chunkPass(shape, chunks, {
    name: shape.byCount ? 'counts' : 'masses',
    work: 'atomic',
    functions: `var<workgroup> tally : array<atomic<u32>, ${threads}>;${binOf}`,
    body: `${summarize}
  ${eachLogit(shape, `let exponent = exponentOf(logit, high); if (exponent >= -50.0) { atomicAdd(&tally[binOf(exponent)], ${amount}); }`)}
  workgroupBarrier();
  let own = atomicLoad(&tally[t]);
  if (own > 0u) { atomicAdd(&work[binPlace(row) + t], own); }`,
  });
}

/**
 * Lists the tokens of the bin that the limit falls into, for top-k those of the bins before it too, as its tokens have to be weighed among
 * themselves; for top-p alone, sums up the mass of these by chunk.
 */
export function candidatesPass(shape: SamplerShape, chunks: number): SamplerPass {
  const list = 'atomicStore(&work[listPlace(row) + atomicAdd(&work[countPlace(row)], 1u)], token);';
  const counted = `if (binOf(exponent) <= edge.x) { ${list} }`;
  const weighed = `if (binOf(exponent) < edge.x) { before += partOf(exp(exponent), total); } else if (binOf(exponent) == edge.x) { ${list} }`;
  return chunkPass(shape, chunks, {
    name: `candidates of ${shape.byCount ? 'top-k' : 'top-p'}`,
    work: 'atomic',
    functions: `${scans}\nvar<workgroup> sure : atomic<u32>;${binOf}`,
    body: `${summarize}
  let sums = scan(workAt(binPlace(row) + t), t);
  let edge = crossing(${shape.byCount ? 'mostTokens()' : 'mostMass()'}, sums, t);
  var before = 0u;
  ${eachLogit(shape, `let exponent = exponentOf(logit, high); if (exponent >= -50.0) { ${shape.byCount ? counted : weighed} }`)}
  atomicAdd(&sure, before);
  workgroupBarrier();
  if (t == 0u) {
    atomicStore(&work[surePlace(row) + chunk], atomicLoad(&sure));
    if (chunk == 0u) { atomicStore(&work[abovePlace(row)], edge.y); }
  }`,
  });
}

const binOf = `
fn binOf(exponent : f32) -> u32 { return min(u32(-exponent * ${binsPerUnit}.0), ${threads - 1}u); }`;

interface ChunkKernel {
  name: string;
  work: 'write' | 'atomic';
  functions: string;
  body: string;
}

function chunkPass(shape: SamplerShape, chunks: number, { name, work, functions, body }: ChunkKernel): SamplerPass {
  const code = `${declareBuffers(shape, buffers, work)}
${common(shape)}
${functions}
@compute @workgroup_size(${threads}) fn main(@builtin(workgroup_id) id : vec3<u32>, @builtin(local_invocation_index) t : u32) {
  let chunk = id.x;
  let row = id.y;
  if (rows[selected[row]].y == ${idle}u) { return; }
  ${body}
}`;
  return { shader: { name: `decode-sample ${name}`, code }, buffers, perRow: chunks };
}
