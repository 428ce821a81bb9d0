/**
 * The last kernel of the sampler, one workgroup per row. Top-k and top-p are found by radix selection over the bits of the candidates' keys,
 * counted for one and weighed for the other. All masses are whole multiples of 2⁻³¹ of what is drawn from, so that their sums are exact, whatever
 * the order of the candidates. Then a chunk is drawn, and a token within it, both by cumulative sums in the order of the ids.
 */
import { idle } from './rows.ts';
import { peaks } from './sample-chunks.ts';
import {
  common,
  declareBuffers,
  type SamplerBuffer,
  type SamplerPass,
  type SamplerShape,
  scans,
  settingWords,
  summarize,
  threads,
} from './sample-common.ts';

/** The token of a row whose logits are not finite numbers. */
export const notFinite = 0xffffffff;

/** With a single chunk it finds the largest logit too. */
export function choicePass(shape: SamplerShape): SamplerPass {
  const { isWhole, draws, byCount, byMass } = shape;
  const limited = byCount || byMass;
  const drawn: SamplerBuffer[] = draws ? ['uniforms'] : [];
  const buffers: SamplerBuffer[] = ['logits', 'rows', 'selected', 'states', 'outcomes', 'step', 'work', 'settings', ...drawn];
  const code = `${declareBuffers(shape, buffers, isWhole ? 'write' : 'read')}
${common(shape)}
${isWhole ? peaks(shape) : ''}
${draws ? scans : ''}
${limited ? limits(shape) : ''}
${draws ? drawing(limited) : ''}
@compute @workgroup_size(${threads}) fn main(@builtin(workgroup_id) id : vec3<u32>, @builtin(local_invocation_index) t : u32) {
  let row = id.y;
  let place = rows[selected[row]];
  if (place.y == ${idle}u) { return; }
  ${isWhole ? 'peaks(row, 0u, t);\n  storageBarrier();' : ''}
  ${summarize}
  let finite = best.x < 0xff800000u && best.x > 0x007fffffu;
  let draw = step[0] * slots() + place.x;
  let token = ${draws ? 'drawToken(row, high, mass, total, min(uniforms[draw], 0.99999994), t)' : 'best.y'};
  if (t == 0u) {
    var state = states[place.x];
    let logprob = exponentOf(logitAt(row, token), high) - log(total);
    outcomes[draw] = vec2<u32>(select(${notFinite}u, token, finite), bitcast<u32>(logprob));
    var ended = !finite || state.z <= 1u;
    for (var i = ${settingWords}u; i < ${settingWords}u + endTokens(); i++) { ended = ended || token == settings[i / 4u][i % 4u]; }
    state.x = token;
    // After a prompt the position already is that of the next token.
    state.y += select(1u, 0u, step[0] == 0u);
    state.z = select(state.z - 1u, 0u, ended);
    states[place.x] = state;
  }
}`;
  const limit = `${draws ? 'drawn' : 'greedy'}${byCount ? ' top-k' : ''}${byMass ? ' top-p' : ''}`;
  return { shader: { name: `decode-sample ${limit}${isWhole ? ', whole' : ''}`, code }, buffers, perRow: 1 };
}

/** `drawToken(row, high, mass, total, share, t)`, where \`mass\` is that of the chunk of thread t. Within a chunk masses are parts of its own. */
function drawing(limited: boolean): string {
  const eachOwn = (statements: string) => `for (var token = first; token < end; token++) {
    let logit = logitAt(row, token);
    let weight = ${limited ? 'select(0.0, weightOf(logit, top), isKept(keyOf(logit), token))' : 'weightOf(logit, top)'};
    ${statements}
  }`;
  const anyChunk = `
  let sums = scan(partOf(mass, total), t);
  let aim = aimAt(share, sums.z);
  let chunk = crossing(aim + 1u, sums, t);`;
  const keptChunk = `
  let choice = chooseChunk(row, high, total, share, t);
  let aim = choice.w;
  let chunk = choice.xyz;`;
  return `
var<workgroup> drawn : u32;
/** A place among so many. */
fn aimAt(share : f32, all : u32) -> u32 { return min(u32(share * f32(all)), max(all, 1u) - 1u); }
fn drawToken(row : u32, high : f32, mass : f32, total : f32, share : f32, t : u32) -> u32 {
  ${limited ? keptChunk : anyChunk}
  let number = min(chunk.x, chunks() - 1u);
  let own = chunkSize() / ${threads}u;
  let first = number * chunkSize() + t * own;
  let end = min(first + own, vocabSize());
  let top = logitOf(workAt(keyPlace(row) + number));
  var weights = 0.0;
  ${eachOwn('weights += weight;')}
  let all = sumOver(weights, t);
  var parts = 0u;
  ${eachOwn('parts += partOf(weight, all);')}
  let within = scan(parts, t);
  let inner = aimAt(f32(aim - chunk.y) / f32(chunk.z), within.z);
  let place = crossing(inner + 1u, within, t);
  if (t == place.x) {
    var left = inner - place.y;
    var isOpen = true;
    ${eachOwn(`let part = partOf(weight, all);
    if (isOpen && part > 0u) { drawn = token; isOpen = part <= left; }
    left -= part;`)}
  }
  workgroupBarrier();
  return drawn;
}`;
}

/** What a round over the candidates adds up: their number by digits of the key, their mass by these; the number of ties by digits of the token; */
const [counts, masses, ties] = [0, 1, 2];
/** the weight of all that are kept, and the mass of these by chunk. */
const [weights, chunkMasses] = [3, 4];

/**
 * `chooseChunk(row, high, total, share, t)` narrows down to the kept tokens: those whose key is above \`cut\`, and of those whose key it is the
 * ones up to \`last\`. Then it draws a chunk: (chunk, mass before it, its mass, place that was drawn). A round adds up amounts of the candidates
 * in 256 bins, in which it then goes down to its goal; the rounds share one loop, as shaders take long to compile.
 */
function limits({ isWhole, byCount, byMass }: SamplerShape): string {
  const radix = (mode: number, bits: number) => Array.from({ length: bits / 8 }, (_, i) => [mode, bits - 8 - 8 * i] as const);
  const tokenBits = isWhole ? 16 : 24;
  const rounds = [
    ...(byCount ? [...radix(counts, 32), ...radix(ties, tokenBits), [weights, 0] as const] : []),
    ...(byMass ? [...radix(masses, 32), ...radix(ties, tokenBits)] : []),
    [chunkMasses, 0] as const,
  ];
  const largestToken = `${2 ** tokenBits - 1}u`;
  const hasBins = !isWhole && !byCount;
  const table = (values: number[]) => `array<u32, ${values.length}>(${values.map((value) => `${value}u`).join(', ')})`;
  return `
var<workgroup> tally : array<atomic<u32>, ${threads}>;
var<workgroup> cut : u32;
var<workgroup> last : u32;
var<workgroup> hasTies : u32;
const modes = ${table(rounds.map(([mode]) => mode))};
const shifts = ${table(rounds.map(([, shift]) => shift))};
fn isKept(key : u32, token : u32) -> bool { return key > cut || (key == cut && token <= last); }
fn chooseChunk(row : u32, high : f32, total : f32, share : f32, t : u32) -> vec4<u32> {
  if (t == 0u) { cut = 0u; last = 0xffffffffu; }
  let count = ${isWhole ? 'vocabSize()' : 'workAt(countPlace(row))'};
  var mass = total;
  var goal = ${byCount ? 'mostTokens()' : `mostMass()${hasBins ? ' - workAt(abovePlace(row))' : ''}`};
  var prefix = 0u;
  var chunk = vec3<u32>();
  for (var round = 0u; round < ${rounds.length}u; round++) {
    let mode = modes[round];
    let shift = shifts[round];
    if (mode == ${ties}u) { if (workgroupUniformLoad(&hasTies) == 0u) { continue; } }
    workgroupBarrier();
    atomicStore(&tally[t], ${hasBins ? `select(0u, workAt(surePlace(row) + t), mode == ${chunkMasses}u && t < chunks())` : '0u'});
    workgroupBarrier();
    for (var i = t; i < count; i += ${threads}u) {
      let token = ${isWhole ? 'i' : 'workAt(listPlace(row) + i)'};
      let logit = logitAt(row, token);
      let key = keyOf(logit);
      if (!isKept(key, token) || (mode == ${ties}u && key != cut)) { continue; }
      let value = select(key, ${largestToken} - token, mode == ${ties}u) >> shift;
      if (mode == ${weights}u) {
        let scaled = weightOf(logit, high) * fineness();
        atomicAdd(&tally[0], u32(scaled));
        atomicAdd(&tally[1], u32((scaled - floor(scaled)) * fineness()));
      } else if (mode == ${chunkMasses}u || (value >> 8u) == prefix) {
        let place = select(${threads - 1}u - (value & ${threads - 1}u), token / chunkSize(), mode == ${chunkMasses}u);
        atomicAdd(&tally[place], select(partOf(weightOf(logit, high), mass), 1u, mode == ${counts}u || mode == ${ties}u));
      }
    }
    workgroupBarrier();
    if (mode == ${weights}u) {
      // Two sums of whole numbers, the second of what the first leaves.
      mass = (f32(atomicLoad(&tally[0])) + f32(atomicLoad(&tally[1])) / fineness()) / fineness();
      continue;
    }
    let sums = scan(atomicLoad(&tally[t]), t);
    if (mode == ${chunkMasses}u) { goal = aimAt(share, sums.z) + 1u; }
    let digit = crossing(goal, sums, t);
    if (mode == ${chunkMasses}u) { chunk = digit; continue; }
    goal -= digit.y;
    prefix = (prefix << 8u) | (${threads - 1}u - digit.x);
    if (shift > 0u) { continue; }
    if (mode == ${ties}u) {
      if (t == 0u) { last = ${largestToken} - prefix; }
      goal = mostMass();
    } else {
      let part = select(1u, max(partOf(weightOf(logitOf(prefix), high), mass), 1u), mode == ${masses}u);
      let equals = (goal + part - 1u) / part;
      if (t == 0u) {
        hasTies = select(0u, 1u, equals < digit.z / part);
        if (prefix > cut) { last = 0xffffffffu; }
        cut = prefix;
      }
      goal = select(mostMass(), equals, equals < digit.z / part);
    }
    prefix = 0u;
  }
  return vec4<u32>(chunk, goal - 1u);
}`;
}
