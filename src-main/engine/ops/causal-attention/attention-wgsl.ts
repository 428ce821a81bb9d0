/**
 * The shaders of causal attention (Dao et al., arXiv 2205.14135): forward with an online softmax over tiles of keys; backward from the saved
 * largest score and 1 / Σ exp of every row, without atomics: one kernel owns query rows and gathers dQ, another owns key rows and gathers dK
 * and dV, and both compute the probabilities again. Sizes are parameters; the head's size and whether sequences are packed are compiled in.
 */
import { otherRows, type TileCode, tileCode } from './tile-wgsl.ts';

/** What is compiled in. */
export interface AttentionVariant {
  headDim: number;
  packed: boolean;
  /** See `tileCode`. */
  unrolls: boolean;
}

export interface AttentionShader {
  /** Owned rows of a workgroup: a grid is [tiles of them, heads of the owned side, sequences]. */
  ownRows: number;
  code: () => string;
}

/** Reads q, k, v; writes out, rowStats. */
export function forwardShader({ headDim, packed, unrolls }: AttentionVariant): AttentionShader {
  const tile = tileCode(headDim, headDim <= 128 ? 4 : 2, unrolls);
  const { eachRow, eachChunk, perRow } = tile;
  return {
    ownRows: tile.ownRows,
    code: () => `${prelude(tile, packed, ['q'], ['k', 'v'])}
${entry}
${ownsQueries(tile)}
var sums : ${tile.sums};
var largest : ${perRow('f32')};
var total : ${perRow('f32')};
${eachRow('largest[row] = -1e30;')}
for (var otherFirst = 0u; otherFirst < lastKey; otherFirst += ${otherRows}u) {
${tile.product('q', 'k', 'scores')}
var peaks : ${perRow('f32')};
${eachRow(`let seen = select(vec4(-1e30), scores[row] * parameters.scale, keysSeen(otherFirst, own));
scores[row] = seen;
peaks[row] = max(max(seen.x, seen.y), max(seen.z, seen.w));`)}
${tile.joinColumns('peaks', (a, b) => `max(${a}, ${b})`)}
${eachRow(`let next = max(largest[row], peaks[row]);
let decay = exp(largest[row] - next);
largest[row] = next;
scores[row] = select(vec4<f32>(), exp(scores[row] - next), keysSeen(otherFirst, own));
total[row] = total[row] * decay + dot(scores[row], vec4(1.0));
${eachChunk('sums[row][chunk] *= decay;')}`)}
${tile.accumulate('scores', 'v', 'sums')}
}
${tile.joinColumns('total', (a, b) => `${a} + ${b}`)}
${tile.writeSums('sums', 'out', 'queryPlace', 'queries', '(1.0 / total[row])')}
${eachRow('if (columnLane == 0u && own < queries) { rowStats[firstStats + own] = vec2(largest[row], 1.0 / total[row]); }')}
}`,
  };
}

/** Reads q, k, v, out, dOut, rowStats; writes dq, and rowSums (Σ dOut · out of every row) for the other kernel. */
export function queryGradientShader({ headDim, packed, unrolls }: AttentionVariant): AttentionShader {
  const tile = tileCode(headDim, headDim <= 128 ? 4 : 2, unrolls);
  const { eachRow, perRow } = tile;
  return {
    ownRows: tile.ownRows,
    code: () => `${prelude(tile, packed, ['q', 'out', 'dOut'], ['k', 'v'])}
${entry}
${ownsQueries(tile)}
var along : ${perRow('f32')};
var stats : ${perRow('vec2<f32>')};
${eachRow('for (var vector = columnLane; vector < vectors; vector += 8u) { along[row] += dot(load_out(own, vector), load_dOut(own, vector)); }')}
${tile.joinColumns('along', (a, b) => `${a} + ${b}`)}
${eachRow(`stats[row] = rowStats[firstStats + min(own, queries - 1u)];
if (columnLane == 0u && own < queries) { rowSums[firstStats + own] = along[row]; }`)}
var sums : ${tile.sums};
for (var otherFirst = 0u; otherFirst < lastKey; otherFirst += ${otherRows}u) {
${tile.product('q', 'k', 'scores')}
${tile.product('dOut', 'v', 'slopes')}
${eachRow(`let p = exp(scores[row] * parameters.scale - stats[row].x) * stats[row].y;
scores[row] = select(vec4<f32>(), p * (slopes[row] - along[row]) * parameters.scale, keysSeen(otherFirst, own));`)}
${tile.accumulate('scores', 'k', 'sums')}
}
${tile.writeSums('sums', 'dq', 'queryPlace', 'queries')}
}`,
  };
}

/** Reads q, k, v, dOut, rowStats, rowSums; writes dk, dv. */
export function keyGradientShader({ headDim, packed, unrolls }: AttentionVariant): AttentionShader {
  const tile = tileCode(headDim, headDim <= 64 ? 4 : 2, unrolls);
  const { eachRow } = tile;
  return {
    ownRows: tile.ownRows,
    code: () => `${prelude(tile, packed, ['q', 'dOut'], ['k', 'v'])}
fn queriesSeeing(key : u32, first : u32) -> vec4<bool> {
  let query = vec4(first + 4u * columnLane) + vec4(0u, 1u, 2u, 3u);
  return (vec4(key) <= query + keys - queries) & (query < vec4(queries));
}
fn statsPlace(query : u32) -> u32 { return firstStats + min(query, queries - 1u); }
${entry}
keyHead = id.y;
let ownFirst = id.x * ${tile.ownRows}u;
if (ownFirst >= keyCount) { return; }
let past = keyCount - queryCount;
let firstTile = select(0u, (ownFirst - past) / ${otherRows}u, ownFirst > past);
var forKey : ${tile.sums};
var forValue : ${tile.sums};
for (var member = 0u; member < parameters.group; member++) {
  head = id.y * parameters.group + member;
  firstStats = statsStart(id.z);
  for (var otherFirst = firstTile * ${otherRows}u; otherFirst < queryCount; otherFirst += ${otherRows}u) {
${tile.product('k', 'q', 'scores')}
${tile.product('v', 'dOut', 'slopes')}
    var largest : vec4<f32>;
    var share : vec4<f32>;
    var along : vec4<f32>;
    for (var j = 0u; j < 4u; j++) {
      let place = statsPlace(otherFirst + 4u * columnLane + j);
      let stats = rowStats[place];
      largest[j] = stats.x;
      share[j] = stats.y;
      along[j] = rowSums[place];
    }
${eachRow(`let p = exp(scores[row] * parameters.scale - largest) * share;
scores[row] = select(vec4<f32>(), p, queriesSeeing(own, otherFirst));`)}
${tile.accumulate('scores', 'dOut', 'forValue')}
${eachRow('scores[row] *= (slopes[row] - along) * parameters.scale;')}
${tile.accumulate('scores', 'q', 'forKey')}
  }
}
${tile.writeSums('forKey', 'dk', 'keyPlace', 'keys')}
${tile.writeSums('forValue', 'dv', 'keyPlace', 'keys')}
}`,
  };
}

/** Where the sequence's rows lie, and loads that give zeros beyond them. The uniform copies of the counts bound loops with barriers. */
function prelude(tile: TileCode, packed: boolean, queryLike: string[], keyLike: string[]): string {
  const load = (tensor: string, count: string, place: string) =>
    `fn load_${tensor}(row : u32, vector : u32) -> vec4<f32> {
  if (row >= ${count} || vector >= vectors) { return vec4<f32>(); }
  return ${tensor}[${place}(row, vector)];
}`;
  return `${tile.declarations}
var<private> firstQuery : u32;
var<private> queries : u32;
var<private> firstKey : u32;
var<private> keys : u32;
var<private> head : u32;
var<private> keyHead : u32;
var<private> firstStats : u32;
fn queryPlace(row : u32, vector : u32) -> u32 { return ((firstQuery + row) * parameters.heads + head) * vectors + vector; }
fn keyPlace(row : u32, vector : u32) -> u32 { return ((firstKey + row) * parameters.kvHeads + keyHead) * vectors + vector; }
fn statsStart(sequence : u32) -> u32 { return ${packed ? 'head * parameters.seq + firstQuery' : '(sequence * parameters.heads + head) * parameters.seq'}; }
fn startOf(sequence : u32) -> u32 { return ${packed ? 'starts[sequence]' : 'sequence * parameters.seq'}; }
fn queriesOf(sequence : u32) -> u32 { return ${packed ? 'starts[sequence + 1u] - starts[sequence]' : 'parameters.seq'}; }
fn keysOf(sequence : u32) -> u32 { return ${packed ? 'queriesOf(sequence)' : 'parameters.keys'}; }
fn keysSeen(first : u32, query : u32) -> vec4<bool> {
  return vec4(first + 4u * columnLane) + vec4(0u, 1u, 2u, 3u) <= vec4(query + keys - queries);
}
${queryLike.map((tensor) => load(tensor, 'queries', 'queryPlace')).join('\n')}
${keyLike.map((tensor) => load(tensor, 'keys', 'keyPlace')).join('\n')}`;
}

const entry = `
@compute @workgroup_size(128) fn main(@builtin(workgroup_id) id : vec3<u32>, @builtin(local_invocation_index) lane : u32) {
columnLane = lane % 8u;
let rowLane = lane / 8u;
let queryCount = queriesOf(id.z);
let keyCount = keysOf(id.z);
firstQuery = startOf(id.z);
firstKey = firstQuery / parameters.seq * parameters.keys + firstQuery % parameters.seq;
queries = queryCount;
keys = keyCount;`;

/** The last tiles see most, so they start first. */
const ownsQueries = ({ ownRows }: TileCode) => `
head = id.y;
keyHead = id.y * parameters.kvHeads / parameters.heads;
firstStats = statsStart(id.z);
let ownTiles = (queryCount + ${ownRows - 1}u) / ${ownRows}u;
if (id.x >= ownTiles) { return; }
let ownFirst = (ownTiles - 1u - id.x) * ${ownRows}u;
let lastKey = min(keyCount, ownFirst + ${ownRows}u + keyCount - queryCount);`;
