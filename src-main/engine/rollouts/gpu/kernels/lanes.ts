/**
 * y [rows, out] = x [rows, in] · Wᵀ for a few rows, where reading the weights is all that counts. 32 lanes share an output: each reads blocks of
 * a row, side by side with its neighbours' and several at a time, of several rows of W so that activations are used more than once. The lanes'
 * sums go through workgroup memory once. A row's sums are the same beside any number of others.
 */
import type { Shader } from '../program.ts';
import { chain, type ProductShape, productColumns, productHeader, productName, weightsBinding } from './products.ts';
import { type WeightBlocks, weightBlocks } from './weight-blocks.ts';

const lanes = 32;
/** Groups of lanes in a workgroup. */
const teams = 2;
/** Sums of one output, a word apart from a multiple of the memory's banks. */
const pitch = lanes + 1;

/** Weight rows that one team reads at a time: fewer where the GPU would have too few teams. */
function streams({ outFeatures, epilogue }: ProductShape): number {
  const most = outFeatures >= 4096 ? 4 : outFeatures >= 2048 ? 2 : 1;
  return epilogue === 'swiglu' ? Math.max(2, most) : most;
}

/** Columns of y that one team computes. */
function columnsPerTeam(shape: ProductShape): number {
  return shape.epilogue === 'swiglu' ? streams(shape) / 2 : streams(shape);
}

/** Workgroups, in one dimension. */
export function lanesWorkgroups(shape: ProductShape): number {
  return Math.ceil(productColumns(shape) / (teams * columnsPerTeam(shape)));
}

/** `rows` rows of x, at most 8, are computed whatever they hold. */
export function lanesProduct(shape: ProductShape, rows: number): Shader {
  const { format, inFeatures, epilogue } = shape;
  const blocks = weightBlocks(format, inFeatures, weightsBinding(shape));
  const perTeam = columnsPerTeam(shape);
  const count = inFeatures / blocks.columns;
  // What is read before any of it is used; the order of the sums is the same for all.
  const depth = Math.max(1, Math.min(4, 32 / blocks.columns, 16 / rows, Math.ceil(count / lanes)));
  const isWhole = count % (lanes * depth) === 0;
  const all = { streams: streams(shape), rows, depth, isWhole };
  const weightRow = (stream: number) => (stream < perTeam ? `n${stream}` : `(n${stream - perTeam} + columns)`);
  const code = `${productHeader(shape)}
${blocks.declarations}
const count = ${count}u;
var<workgroup> partial : array<f32, ${all.streams * rows * teams * pitch}>;
@compute @workgroup_size(${lanes * teams}) fn main(@builtin(workgroup_id) id : vec3<u32>, @builtin(local_invocation_index) t : u32) {
  let lane = t % ${lanes}u;
  let team = t / ${lanes}u;
  let first = (id.x * ${teams}u + team) * ${perTeam}u;
  ${each(perTeam, (i) => `let n${i} = min(first + ${i}u, columns - 1u);`)}
  ${each(all.streams, (s) => each(rows, (m) => `var sum${s}_${m} = 0.0;`))}
  ${blocks.start ? `${blocks.start}\n  workgroupBarrier();` : ''}
  for (var begin = lane; begin < count; begin += ${lanes * depth}u) {
    ${each(depth, (j) => `let place${j} = begin + ${lanes * j}u; let block${j} = ${isWhole ? `place${j}` : `min(place${j}, count - 1u)`};`)}
    ${each(depth, (j) => each(all.streams, (s) => blocks.load(`w${j}_${s}`, weightRow(s), `block${j}`)))}
    ${each(depth, (j) => blockSums(j, blocks, all, inFeatures))}
  }
  ${each(all.streams, (s) => each(rows, (m) => `partial[${(s * rows + m) * teams * pitch}u + team * ${pitch}u + lane] = sum${s}_${m};`))}
  workgroupBarrier();
  if (t < ${teams * perTeam * rows}u) {
    let m = (t / ${teams}u) % ${rows}u;
    let column = (id.x * ${teams}u + t % ${teams}u) * ${perTeam}u + t / ${teams * rows}u;
    let place = (t / ${teams}u) * ${teams * pitch}u + (t % ${teams}u) * ${pitch}u;
    if (column < columns) { finish(m, column, total(place), ${epilogue === 'swiglu' ? `total(place + ${perTeam * rows * teams * pitch}u)` : '0.0'}); }
  }
}
fn total(place : u32) -> f32 {
  var four = vec4<f32>();
  for (var i = place; i < place + ${lanes}u; i += 4u) { four += vec4<f32>(partial[i], partial[i + 1u], partial[i + 2u], partial[i + 3u]); }
  return (four.x + four.y) + (four.z + four.w);
}`;
  return { name: `${productName('lanes', shape)}, ${rows} rows`, code };
}

/** Adds the products of one block to the sums, in the order of the inputs. */
function blockSums(
  j: number,
  blocks: WeightBlocks,
  { streams, rows, isWhole }: { streams: number; rows: number; isWhole: boolean },
  inFeatures: number,
): string {
  const units = blocks.columns / 4;
  const isScaled = blocks.scale('') !== null;
  const sum = (s: number, m: number) => (isScaled ? `part${j}_${s}_${m}` : `sum${s}_${m}`);
  const activations = (m: number, u: number) => `x[${(m * inFeatures) / 4 + u}u + block${j} * ${units}u]`;
  const unit = (u: number) => `{
      ${each(streams, (s) => `let v${s} = ${blocks.four(`w${j}_${s}`, u)};`)}
      ${each(rows, (m) => {
        const value = isWhole ? activations(m, u) : `select(vec4<f32>(), ${activations(m, u)}, place${j} < count)`;
        return `let x${m} = ${value}; ${each(streams, (s) => `${sum(s, m)} = ${chain(`v${s}`, `x${m}`, sum(s, m))};`)}`;
      })}
    }`;
  return `${isScaled ? each(streams, (s) => each(rows, (m) => `var ${sum(s, m)} = 0.0;`)) : ''}
    ${each(units, unit)}
    ${isScaled ? each(streams, (s) => each(rows, (m) => `sum${s}_${m} = fma(${blocks.scale(`w${j}_${s}`)}, ${sum(s, m)}, sum${s}_${m});`)) : ''}`;
}

function each(count: number, line: (index: number) => string): string {
  return Array.from({ length: count }, (_, index) => line(index)).join('\n    ');
}
