/**
 * Draws a token from each row of logits as the sampler of the processor does (temperature, then top-k, then top-p; equal logits rank by id), and
 * advances the row's slot: its next token and position, and whether it goes on. One workgroup per row.
 *
 * The ranking is found by radix selection over the logits' bits, counted for top-k and weighed for top-p; the weights are whole multiples of
 * 2⁻³¹ of what they sum to there, so their sums are exact. Then the token is found by a cumulative sum in the order of the ids.
 */
import type { SamplingSettings } from '../../settings.ts';
import type { Shader } from '../program.ts';
import { idle } from './rows.ts';

/** What is compiled into the shader. */
export interface SamplerShape {
  /** Draw by uniform numbers; otherwise the most probable token is taken. */
  draws: boolean;
  /** Limit the draw to the most probable tokens by their number, then by their mass. */
  byCount: boolean;
  byMass: boolean;
}

export interface SamplerSizes {
  vocabSize: number;
  slots: number;
}

export function samplerShape({ vocabSize }: SamplerSizes, { temperature, topK, topP }: SamplingSettings): SamplerShape {
  const draws = temperature > 0;
  return { draws, byCount: draws && topK > 0 && topK < vocabSize, byMass: draws && topP < 1 };
}

/** The rest of the settings, as the shader reads them. */
export function samplerWords({ vocabSize, slots }: SamplerSizes, settings: SamplingSettings, endTokens: readonly number[]): Uint32Array {
  const { temperature, topK, topP } = settings;
  const [bits] = new Uint32Array(Float32Array.of(temperature || 1).buffer);
  return Uint32Array.of(vocabSize, slots, bits!, topK, Math.ceil(topP * 2 ** 31), endTokens.length, ...endTokens);
}

/** The token of a row whose logits are not finite numbers. */
export const notFinite = 0xffffffff;

const threads = 256;

/**
 * Bindings: logits [rows, vocab], rows, selected (row of each row of logits), states, outcomes [steps, slots] as (token, bits of its
 * log-probability), step (number of the step), settings, and to draw uniforms [steps, slots].
 */
export function sampleShader(shape: SamplerShape): Shader {
  const { draws, byCount, byMass } = shape;
  const code = `
@group(0) @binding(0) var<storage, read> logits : array<f32>;
@group(0) @binding(1) var<storage, read> rows : array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> selected : array<u32>;
@group(0) @binding(3) var<storage, read_write> states : array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> outcomes : array<vec2<u32>>;
@group(0) @binding(5) var<storage, read> step : array<u32>;
@group(0) @binding(6) var<storage, read> settings : array<u32>;
${draws ? '@group(0) @binding(7) var<storage, read> uniforms : array<f32>;' : ''}
${draws ? drawing(shape) : common}
@compute @workgroup_size(${threads}) fn main(@builtin(workgroup_id) id : vec3<u32>, @builtin(local_invocation_index) t : u32) {
  let vocab = settings[0];
  let base = id.x * vocab;
  let place = rows[selected[id.x]];
  let isIdle = place.y == ${idle}u;
  let draw = step[0] * settings[1] + place.x;
  let temperature = bitcast<f32>(settings[2]);
  findLargest(base, t);
  let best = tokens[0];
  let high = logitOf(keys[0]);
  let finite = broken == 0u && keys[0] < 0xff800000u && keys[0] > 0x007fffffu;
  var total = 0.0;
  for (var i = t; i < settings[0]; i += ${threads}u) { total += weightOf(logits[base + i], high); }
  total = sumOver(total, t);
  var token = best;
  ${draws ? `token = drawToken(base, high, total, min(uniforms[draw], 0.99999994), best, t);` : ''}
  if (t == 0u && !isIdle) {
    var state = states[place.x];
    let logprob = (logits[base + token] - high) / temperature - log(total);
    outcomes[draw] = vec2<u32>(select(${notFinite}u, token, finite), bitcast<u32>(logprob));
    var ended = !finite || state.z <= 1u;
    for (var i = 0u; i < settings[5]; i++) { ended = ended || token == settings[6u + i]; }
    state.x = token;
    // After a prompt the position already is that of the next token.
    state.y += select(1u, 0u, step[0] == 0u);
    state.z = select(state.z - 1u, 0u, ended);
    states[place.x] = state;
  }
}`;
  const limits = `${draws ? 'drawn' : 'greedy'}${byCount ? ' top-k' : ''}${byMass ? ' top-p' : ''}`;
  return { name: `decode-sample ${limits}`, code };
}

/** The largest logit and its first token; sums over the workgroup; weights; keys whose order is that of the logits. */
const common = `
var<workgroup> keys : array<u32, ${threads}>;
var<workgroup> tokens : array<u32, ${threads}>;
var<workgroup> sums : array<f32, ${threads}>;
var<workgroup> flag : atomic<u32>;
var<workgroup> broken : u32;
fn keyOf(logit : f32) -> u32 {
  let bits = bitcast<u32>(logit);
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}
fn logitOf(key : u32) -> f32 { return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u)); }
fn weightOf(logit : f32, high : f32) -> f32 {
  let exponent = (logit - high) / bitcast<f32>(settings[2]);
  return select(exp(exponent), 0.0, exponent < -50.0);
}
fn sumOver(value : f32, t : u32) -> f32 {
  workgroupBarrier();
  sums[t] = value;
  workgroupBarrier();
  for (var stride = ${threads / 2}u; stride > 0u; stride = stride >> 1u) {
    if (t < stride) { sums[t] += sums[t + stride]; }
    workgroupBarrier();
  }
  return sums[0];
}
fn findLargest(base : u32, t : u32) {
  var key = 0u;
  var token = 0u;
  var isBroken = false;
  for (var i = t; i < settings[0]; i += ${threads}u) {
    let logit = logits[base + i];
    isBroken = isBroken || (bitcast<u32>(logit) & 0x7fffffffu) > 0x7f800000u;
    let k = keyOf(logit);
    if (k > key) { key = k; token = i; }
  }
  keys[t] = key;
  tokens[t] = token;
  if (isBroken) { atomicStore(&flag, 1u); }
  workgroupBarrier();
  for (var stride = ${threads / 2}u; stride > 0u; stride = stride >> 1u) {
    if (t < stride) {
      let other = t + stride;
      if (keys[other] > keys[t] || (keys[other] == keys[t] && tokens[other] < tokens[t])) { keys[t] = keys[other]; tokens[t] = tokens[other]; }
    }
    workgroupBarrier();
  }
  if (t == 0u) { broken = atomicLoad(&flag); }
  workgroupBarrier();
}`;

/**
 * The kept tokens are those whose key is above `cut`, and the first `equals` of those whose key is `cut`. Each thread owns a run of ids, so that
 * ranks among equals and the draw go by id.
 */
function drawing({ byCount, byMass }: SamplerShape): string {
  return `${common}
var<workgroup> bins : array<atomic<u32>, 256>;
var<workgroup> ranks : array<u32, ${threads}>;
var<workgroup> cut : u32;
var<workgroup> equals : u32;
var<workgroup> above : u32;
var<workgroup> target_ : u32;
var<workgroup> chosen : u32;
var<workgroup> lastRun : atomic<u32>;
${byCount || byMass ? selection : ''}
fn drawToken(base : u32, high : f32, total : f32, uniform_ : f32, best : u32, t : u32) -> u32 {
  if (t == 0u) { cut = 0u; equals = 0xffffffffu; }
  workgroupBarrier();
  var mass = total;
  ${byCount ? `selectCount(base, t, settings[3]);` : ''}
  ${byMass && byCount ? 'mass = keptMass(base, high, t);' : ''}
  ${byMass ? `selectMass(base, high, mass, t, settings[4]);` : ''}
  let vocab = settings[0];
  let run = (vocab + ${threads - 1}u) / ${threads}u;
  let first = min(t * run, vocab);
  let last = min(first + run, vocab);
  var same = 0u;
  for (var i = first; i < last; i++) { same += select(0u, 1u, keyOf(logits[base + i]) == cut); }
  ranks[t] = same;
  workgroupBarrier();
  var rank = 0u;
  for (var other = 0u; other < t; other++) { rank += ranks[other]; }
  var next = rank;
  var sum = 0.0;
  for (var i = first; i < last; i++) {
    let key = keyOf(logits[base + i]);
    if (isKept(key, next)) { sum += weightOf(logits[base + i], high); }
    if (key == cut) { next++; }
  }
  workgroupBarrier();
  sums[t] = sum;
  if (t == 0u) { chosen = 0xffffffffu; tokens[0] = best; }
  if (sum > 0.0) { atomicMax(&lastRun, t); }
  workgroupBarrier();
  // Every thread adds the runs up in the same order, so a run's end is exactly the next one's start.
  var before = 0.0;
  var all = 0.0;
  for (var i = 0u; i < ${threads}u; i++) {
    if (i == t) { before = all; }
    all += sums[i];
  }
  let aim = uniform_ * all;
  if (before <= aim && aim < before + sum) { chosen = t; }
  workgroupBarrier();
  if (t == 0u && chosen == 0xffffffffu) { chosen = atomicLoad(&lastRun); }
  workgroupBarrier();
  if (t == chosen) {
    var left = aim - before;
    next = rank;
    var isDrawn = false;
    for (var i = first; i < last && !isDrawn; i++) {
      let key = keyOf(logits[base + i]);
      if (isKept(key, next)) {
        let weight = weightOf(logits[base + i], high);
        if (weight > 0.0) { tokens[0] = i; }
        isDrawn = weight > left;
        left -= weight;
      }
      if (key == cut) { next++; }
    }
  }
  workgroupBarrier();
  return tokens[0];
}
fn isKept(key : u32, rank : u32) -> bool { return key > cut || (key == cut && rank < equals); }`;
}

/** Narrows \`cut\` and \`equals\` down, 8 bits of the key at a time: from the top bin down until the count or the mass is reached. */
const selection = `
fn clearBins(t : u32) {
  workgroupBarrier();
  for (var i = t; i < 256u; i += ${threads}u) { atomicStore(&bins[i], 0u); }
  workgroupBarrier();
}
/** The bin in which the sum from above reaches the target; none below it counts. The first bin where it is never reached. */
fn descend(t : u32) -> u32 {
  workgroupBarrier();
  let here = atomicLoad(&bins[t]);
  var higher = above;
  for (var i = t + 1u; i < 256u; i++) { higher += atomicLoad(&bins[i]); }
  if (t == 0u) { chosen = 0u; }
  workgroupBarrier();
  if (higher < target_ && (higher + here >= target_ || t == 0u)) { chosen = t; above = higher; }
  workgroupBarrier();
  return chosen;
}
fn selectCount(base : u32, t : u32, count : u32) {
  if (t == 0u) { above = 0u; target_ = count; }
  var prefix = 0u;
  for (var shift = 32u; shift > 0u; shift -= 8u) {
    clearBins(t);
    for (var i = t; i < settings[0]; i += ${threads}u) {
      let key = keyOf(logits[base + i]);
      if (shift == 32u || (key >> (shift % 32u)) == prefix) { atomicAdd(&bins[(key >> (shift - 8u)) & 255u], 1u); }
    }
    prefix = (prefix << 8u) | descend(t);
  }
  if (t == 0u) { cut = prefix; equals = target_ - above; }
  workgroupBarrier();
}
fn partOf(logit : f32, high : f32, mass : f32) -> u32 { return u32(weightOf(logit, high) / mass * 2147483648.0 + 0.5); }
fn keptMass(base : u32, high : f32, t : u32) -> f32 {
  var sum = 0.0;
  for (var i = t; i < settings[0]; i += ${threads}u) { if (keyOf(logits[base + i]) > cut) { sum += weightOf(logits[base + i], high); } }
  if (t == 0u) { sum += f32(equals) * weightOf(logitOf(cut), high); }
  return sumOver(sum, t);
}
fn selectMass(base : u32, high : f32, mass : f32, t : u32, share : u32) {
  let floor_ = cut;
  let kept = equals;
  if (t == 0u) { above = 0u; target_ = share; }
  var prefix = 0u;
  for (var shift = 32u; shift > 0u; shift -= 8u) {
    clearBins(t);
    for (var i = t; i < settings[0]; i += ${threads}u) {
      let logit = logits[base + i];
      let key = keyOf(logit);
      if ((shift == 32u || (key >> (shift % 32u)) == prefix) && (key > floor_ || (key == floor_ && kept == 0xffffffffu))) {
        let part = partOf(logit, high, mass);
        if (part > 0u) { atomicAdd(&bins[(key >> (shift - 8u)) & 255u], part); }
      }
    }
    if (t == 0u && kept != 0xffffffffu && (shift == 32u || (floor_ >> (shift % 32u)) == prefix)) {
      atomicAdd(&bins[(floor_ >> (shift - 8u)) & 255u], kept * partOf(logitOf(floor_), high, mass));
    }
    prefix = (prefix << 8u) | descend(t);
  }
  if (t == 0u) {
    let part = max(partOf(logitOf(prefix), high, mass), 1u);
    let most = select(0xffffffffu, kept, prefix == floor_);
    if (prefix > floor_ || (prefix == floor_ && kept != 0xffffffffu)) {
      equals = min(most, max((target_ - min(above, target_) + part - 1u) / part, 1u));
      cut = prefix;
    }
  }
  workgroupBarrier();
}`;
