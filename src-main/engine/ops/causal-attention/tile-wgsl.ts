/**
 * WGSL that the attention kernels are put together from. A workgroup owns rows of one side (queries or keys) and passes over tiles of the other:
 * `product` multiplies two tiles into scores, `accumulate` adds weights times a tile of the other side to what the owned rows gather. 128
 * invocations lie 16 × 8: each holds `perLane` owned rows by four others, in arrays that stay in registers because `eachRow` and `eachChunk`
 * write the code out with constant indices; tiles pass through under 16 KiB of workgroup memory, 32 components of a head (a chunk) at a time.
 */

/** Rows of the other side in a tile, four to each of the eight columns of invocations. */
export const otherRows = 32;

/** Vectors of four to a row of workgroup memory: eight, and one so that rows side by side lie in different banks. */
const stride = 9;

export interface TileCode {
  /** Rows that a workgroup owns. */
  ownRows: number;
  declarations: string;
  /** A WGSL array type with an element for each owned row of an invocation. */
  perRow(element: string): string;
  /** The type of what owned rows gather. */
  sums: string;
  /** `code` for each owned row of an invocation: `row` counts them, `own` is its number. */
  eachRow(code: string): string;
  /** `code` for each chunk of the sums, `sums[row][chunk]`. */
  eachChunk(code: string): string;
  /** Declares `scores`: for each owned row, own · other for the four others of the column. */
  product(own: string, other: string, scores: string): string;
  /** Adds weights · other to `sums`; the weights are a vector for each owned row. Every invocation must be past its last use of the tiles. */
  accumulate(weights: string, other: string, sums: string): string;
  /** Writes the sums of the owned rows below `count`, times `factor`, to a tensor. */
  writeSums(sums: string, tensor: string, place: string, count: string, factor?: string): string;
  /** Joins one number per owned row over the columns, in place. */
  joinColumns(values: string, join: (a: string, b: string) => string): string;
}

/**
 * @param headDim components of a head, a multiple of 4
 * @param perLane owned rows of an invocation
 * @param unrolls whether code is written out for each row and chunk. Where not, loops have parameters for bounds: a driver that computes on the
 *   CPU takes minutes to compile what is written out.
 */
export function tileCode(headDim: number, perLane: number, unrolls: boolean): TileCode {
  const vectors = headDim / 4;
  const chunks = Math.ceil(vectors / 8);
  const ownRows = 16 * perLane;
  const loop = (index: string, count: number, bound: string, code: string) =>
    unrolls
      ? Array.from({ length: count }, (_, i) => `{ const ${index} = ${i}u;\n${code}\n}`).join('\n')
      : `for (var ${index} = 0u; ${index} < ${bound}; ${index}++) {\n${code}\n}`;
  const eachRow = (code: string) => loop('row', perLane, 'parameters.perLane', `let own = ownFirst + rowLane + 16u * row;\n${code}`);
  const eachChunk = (code: string) => loop('chunk', chunks, 'parameters.chunks', code);
  const eight = unrolls ? '8u' : 'parameters.eight';
  const leftPlace = `(rowLane + 16u * row) * ${stride}u`;
  const loadOthers = (other: string) => `for (var i = 0u; i < ${eight} / 4u; i++) {
  let other = rowLane + 16u * i;
  right[otherSlot(other)] = load_${other}(otherFirst + other, chunk * 8u + columnLane);
}`;
  return {
    ownRows,
    eachRow,
    eachChunk,
    perRow: (element) => `array<${element}, ${perLane}>`,
    sums: `array<array<vec4<f32>, ${chunks}>, ${perLane}>`,
    declarations: `
const vectors = ${vectors}u;
var<workgroup> left : array<vec4<f32>, ${ownRows * stride}>;
var<workgroup> right : array<vec4<f32>, ${otherRows * stride}>;
var<workgroup> columns : array<f32, ${ownRows * 8}>;
var<private> columnLane : u32;
// Others 4c … 4c + 3 belong to column c, but lie eight rows apart, so that the columns read side by side.
fn otherSlot(row : u32) -> u32 { return (row % 4u * 8u + row / 4u) * ${stride}u + columnLane; }`,
    // Dawn clears a variable without a value once, not at every turn of the loop it is declared in.
    product: (own, other, scores) => `
var ${scores} = array<vec4<f32>, ${perLane}>();
for (var chunk = 0u; chunk < ${unrolls ? `${chunks}u` : 'parameters.chunks'}; chunk++) {
${eachRow(`left[${leftPlace} + columnLane] = load_${own}(own, chunk * 8u + columnLane);`)}
${loadOthers(other)}
workgroupBarrier();
for (var k = 0u; k < ${eight}; k++) {
${[0, 1, 2, 3].map((j) => `let b${j} = right[(columnLane + ${8 * j}u) * ${stride}u + k];`).join('\n')}
${eachRow(`let a = left[${leftPlace} + k];\n${scores}[row] += vec4(dot(a, b0), dot(a, b1), dot(a, b2), dot(a, b3));`)}
}
workgroupBarrier();
}`,
    accumulate: (weights, other, sums) => `
${eachRow(`left[${leftPlace} + columnLane] = ${weights}[row];`)}
${eachChunk(`${loadOthers(other)}
workgroupBarrier();
for (var k = 0u; k < ${eight}; k++) {
${[0, 1, 2, 3].map((j) => `let b${j} = right[(k + ${8 * j}u) * ${stride}u + columnLane];`).join('\n')}
${eachRow(`let w = left[${leftPlace} + k];\n${sums}[row][chunk] += w.x * b0 + w.y * b1 + w.z * b2 + w.w * b3;`)}
}
workgroupBarrier();`)}`,
    writeSums: (sums, tensor, place, count, factor = '1.0') =>
      eachRow(
        eachChunk(`let vector = chunk * 8u + columnLane;
if (own < ${count} && vector < vectors) { ${tensor}[${place}(own, vector)] = ${sums}[row][chunk] * ${factor}; }`),
      ),
    joinColumns: (values, join) => `
${eachRow(`columns[(rowLane + 16u * row) * 8u + columnLane] = ${values}[row];`)}
workgroupBarrier();
${eachRow(`let first = (rowLane + 16u * row) * 8u;
var joined = columns[first];
for (var column = 1u; column < ${eight}; column++) { joined = ${join('joined', 'columns[first + column]')}; }
${values}[row] = joined;`)}
workgroupBarrier();`,
  };
}
