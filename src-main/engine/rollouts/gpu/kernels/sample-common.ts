/** What the kernels of the sampler share: how a row of logits is spread over workgroups, its workspace, and WGSL over keys, weights and sums. */
import type { Shader } from '../program.ts';

/** What is compiled into the shaders. */
export interface SamplerShape {
  /** Whether a row of logits is a single chunk, and whether four of its logits can be read at once. */
  isWhole: boolean;
  isAligned: boolean;
  /** Draw by uniform numbers; otherwise the most probable token is taken. */
  draws: boolean;
  /** Limit the draw to the most probable tokens by their number, then by their mass. */
  byCount: boolean;
  byMass: boolean;
  /** Length of the settings. */
  vectors: number;
}

export const threads = 256;

/** Settings that come before the end tokens, in the order of the accessors below. */
export const settingWords = 9;

/** Tokens of a chunk: a multiple of eight for each thread, and so many that there is a thread for each chunk. */
export function chunkTokens(vocabSize: number): number {
  return 8 * threads * Math.ceil(vocabSize / (8 * threads * threads));
}

export function chunkCount(vocabSize: number): number {
  return Math.ceil(vocabSize / chunkTokens(vocabSize));
}

/**
 * Words of the workspace of a row of logits. Of each chunk: the largest key, its first token, the sum of the weights relative to it, and the mass
 * of tokens before the bin that the limit falls into. Then the bins: of all tokens by their distance to the largest logit, the number or the mass;
 * the number of candidates, the mass before them, and the candidates, which are all tokens where there is one chunk.
 */
export function workWords(vocabSize: number): number {
  const chunks = chunkCount(vocabSize);
  return 4 * chunks + threads + 2 + (chunks === 1 ? 0 : vocabSize);
}

const places = `
fn vocabSize() -> u32 { return settings[0].x; }
fn chunkSize() -> u32 { return settings[0].y; }
fn chunks() -> u32 { return settings[0].z; }
fn slots() -> u32 { return settings[0].w; }
fn coldness() -> f32 { return bitcast<f32>(settings[1].x); }
fn mostTokens() -> u32 { return settings[1].y; }
fn mostMass() -> u32 { return settings[1].z; }
fn fineness() -> f32 { return bitcast<f32>(settings[1].w); }
fn endTokens() -> u32 { return settings[2].x; }
fn keyPlace(row : u32) -> u32 { return row * rowWords(); }
fn tokenPlace(row : u32) -> u32 { return row * rowWords() + chunks(); }
fn sumPlace(row : u32) -> u32 { return row * rowWords() + 2u * chunks(); }
fn surePlace(row : u32) -> u32 { return row * rowWords() + 3u * chunks(); }
fn binPlace(row : u32) -> u32 { return row * rowWords() + 4u * chunks(); }
fn countPlace(row : u32) -> u32 { return binPlace(row) + ${threads}u; }
fn abovePlace(row : u32) -> u32 { return binPlace(row) + ${threads + 1}u; }
fn listPlace(row : u32) -> u32 { return binPlace(row) + ${threads + 2}u; }`;

/** Buffers of the sampler: `rows` as [slot, position], `selected` the row of each row of logits, `work` the workspace of all of these. */
export type SamplerBuffer = 'logits' | 'rows' | 'selected' | 'states' | 'outcomes' | 'step' | 'uniforms' | 'work' | 'settings';

/** One of the kernels that draw a token, one after the other. */
export interface SamplerPass {
  shader: Shader;
  /** By binding number. */
  buffers: SamplerBuffer[];
  /** Workgroups: [perRow, rows of logits]. */
  perRow: number;
}

/** Declarations of the buffers, `work` as the kernel uses it, and `workAt(place)`. */
export function declareBuffers(shape: SamplerShape, buffers: readonly SamplerBuffer[], work: 'read' | 'write' | 'atomic'): string {
  const types: Record<SamplerBuffer, string> = {
    logits: `var<storage, read> logits : array<${shape.isAligned ? 'vec4<f32>' : 'f32'}>`,
    rows: 'var<storage, read> rows : array<vec2<u32>>',
    selected: 'var<storage, read> selected : array<u32>',
    states: 'var<storage, read_write> states : array<vec4<u32>>',
    outcomes: 'var<storage, read_write> outcomes : array<vec2<u32>>',
    step: 'var<storage, read> step : array<u32>',
    uniforms: 'var<storage, read> uniforms : array<f32>',
    work: `var<storage, ${work === 'read' ? 'read' : 'read_write'}> work : array<${work === 'atomic' ? 'atomic<u32>' : 'u32'}>`,
    settings: `var<uniform> settings : array<vec4<u32>, ${shape.vectors}>`,
  };
  const lines = buffers.map((name, binding) => `@group(0) @binding(${binding}) ${types[name]};`);
  return `${lines.join('\n')}
fn workAt(place : u32) -> u32 { return ${work === 'atomic' ? 'atomicLoad(&work[place])' : 'work[place]'}; }
fn rowWords() -> u32 { return 4u * chunks() + ${threads + 2}u${shape.isWhole ? '' : ' + vocabSize()'}; }
${places}`;
}

/** WGSL that runs `statements` over \`token\` and \`logit\`, the tokens of \`chunk\` of \`row\` spread over the threads, ascending in each. */
export function eachLogit({ isAligned }: SamplerShape, statements: string): string {
  const end = 'min((chunk + 1u) * chunkSize(), vocabSize())';
  if (!isAligned) {
    return `for (var token = chunk * chunkSize() + t; token < ${end}; token += ${threads}u) {
    let logit = logits[row * vocabSize() + token];
    ${statements}
  }`;
  }
  return `for (var unit = chunk * chunkSize() / 4u + t; unit < ${end} / 4u; unit += ${threads}u) {
    let four = logits[row * vocabSize() / 4u + unit];
    for (var lane = 0u; lane < 4u; lane++) {
      let token = 4u * unit + lane;
      let logit = four[lane];
      ${statements}
    }
  }`;
}

/** Keys are ordered as the logits are, NaN above all of them. A weight is e to the distance to some largest logit, over the temperature. */
export function common({ isAligned }: SamplerShape): string {
  const at = 'row * vocabSize() + token';
  return `
var<workgroup> keys : array<u32, ${threads}>;
var<workgroup> tokens : array<u32, ${threads}>;
var<workgroup> floats : array<f32, ${threads}>;
fn keyOf(logit : f32) -> u32 {
  let bits = bitcast<u32>(logit);
  let key = select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
  return select(key, 0xffffffffu, (bits & 0x7fffffffu) > 0x7f800000u);
}
fn logitOf(key : u32) -> f32 { return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u)); }
fn logitAt(row : u32, token : u32) -> f32 { return ${isAligned ? `logits[(${at}) / 4u][(${at}) % 4u]` : `logits[${at}]`}; }
fn exponentOf(logit : f32, high : f32) -> f32 { return (logit - high) * coldness(); }
fn weightOf(logit : f32, high : f32) -> f32 {
  let exponent = exponentOf(logit, high);
  return select(exp(exponent), 0.0, exponent < -50.0);
}
/** In units of 2⁻³¹ of a mass. */
fn partOf(weight : f32, mass : f32) -> u32 { return u32(weight / mass * 2147483648.0 + 0.5); }
/** The largest of the threads' keys, and the first of its tokens. */
fn largest(key : u32, token : u32, t : u32) -> vec2<u32> {
  workgroupBarrier();
  keys[t] = key;
  tokens[t] = token;
  workgroupBarrier();
  if (t < 16u) { foldLargest(t, ${threads}u, 16u); }
  workgroupBarrier();
  if (t == 0u) { foldLargest(t, 16u, 1u); }
  workgroupBarrier();
  return vec2<u32>(keys[0], tokens[0]);
}
fn foldLargest(t : u32, end : u32, stride : u32) {
  var best = vec2<u32>(keys[t], tokens[t]);
  for (var i = t + stride; i < end; i += stride) { best = better(best, vec2<u32>(keys[i], tokens[i])); }
  keys[t] = best.x;
  tokens[t] = best.y;
}
fn better(a : vec2<u32>, b : vec2<u32>) -> vec2<u32> { return select(a, b, b.x > a.x || (b.x == a.x && b.y < a.y)); }
fn sumOver(value : f32, t : u32) -> f32 {
  workgroupBarrier();
  floats[t] = value;
  workgroupBarrier();
  if (t < 16u) { foldSum(t, ${threads}u, 16u); }
  workgroupBarrier();
  if (t == 0u) { foldSum(t, 16u, 1u); }
  workgroupBarrier();
  return floats[0];
}
fn foldSum(t : u32, end : u32, stride : u32) {
  var sum = floats[t];
  for (var i = t + stride; i < end; i += stride) { sum += floats[i]; }
  floats[t] = sum;
}`;
}

/** Of the row's chunks: `mass` of this thread's one relative to the largest logit, \`high\`, of the token \`best.y\`, and \`total\`, that of all. */
export const summarize = `
  let isChunk = t < chunks();
  let ownKey = select(0u, workAt(keyPlace(row) + t), isChunk);
  let best = largest(ownKey, select(0xffffffffu, workAt(tokenPlace(row) + t), isChunk), t);
  let high = logitOf(best.x);
  let mass = select(0.0, bitcast<f32>(workAt(sumPlace(row) + t)) * weightOf(logitOf(ownKey), high), isChunk);
  let total = sumOver(mass, t);`;

/**
 * \`scan\`: of the threads' values, (sum of those before this one, its own, sum of all). \`crossing\`: the first thread at which the sums reach the
 * goal, the last one with a value if they never do, as (thread, sum before it, its value).
 */
export const scans = `
var<workgroup> ladder : array<u32, ${threads + 16}>;
var<workgroup> rungs : array<u32, 16>;
var<workgroup> whole : u32;
var<workgroup> found : vec3<u32>;
fn scan(value : u32, t : u32) -> vec3<u32> {
  workgroupBarrier();
  ladder[t + t / 16u] = value;
  workgroupBarrier();
  let rung = t / 16u;
  if (t < 16u) {
    var sum = 0u;
    for (var i = 17u * t; i < 17u * t + 16u; i++) { sum += ladder[i]; }
    rungs[t] = sum;
  }
  workgroupBarrier();
  var before = 0u;
  for (var i = 0u; i < rung; i++) { before += rungs[i]; }
  for (var i = 17u * rung; i < t + rung; i++) { before += ladder[i]; }
  if (t == ${threads - 1}u) { whole = before + value; }
  workgroupBarrier();
  return vec3<u32>(before, value, whole);
}
fn crossing(goal : u32, sums : vec3<u32>, t : u32) -> vec3<u32> {
  let end = sums.x + sums.y;
  if (sums.x < min(goal, end) && (end >= goal || end == sums.z)) { found = vec3<u32>(t, sums.xy); }
  workgroupBarrier();
  return found;
}`;
