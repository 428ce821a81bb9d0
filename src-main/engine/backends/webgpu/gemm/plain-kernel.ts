/**
 * The GEMM shader of software adapters: one for all transposes, sizes and strides, short enough that compiling it takes no seconds. A
 * workgroup computes a 32 × 32 tile of C, each invocation 4 × 4 values of it.
 */
import { oneFunction } from './operands.ts';
import { itemBases, packedEightType, startUp, type Variant } from './variant.ts';

export const plainTile = 32;
const tileK = 16;
const threads = 64;

export function plainKernelName({ typeA, typeB, bias, accumulate, computed, transB }: Variant): string {
  return `gemm-plain-${typeA}-${computed ? `${computed.name}${transB ? 't' : 'n'}` : typeB}${bias ? '-bias' : ''}${accumulate ? '-accumulate' : ''}`;
}

/** A value of A lies `rowA` elements after the one above it, `columnA` after the one before it; B likewise. */
export function plainKernel(variant: Variant): string {
  const { typeA, typeB, bias, accumulate, computed, transB } = variant;
  const b = computed ? `wOne(${transB ? 'n, q' : 'q, n'})` : 'bOne(bBase + q * parameters.rowB + n * parameters.columnB)';
  return `
${oneFunction('a', typeA)}
${computed ? `${packedEightType}\n${computed.code}` : oneFunction('b', typeB)}
var<workgroup> aTile : array<array<f32, ${plainTile}>, ${tileK}>;
var<workgroup> bTile : array<array<f32, ${plainTile}>, ${tileK}>;

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group : vec3<u32>, @builtin(local_invocation_index) lane : u32) {
  ${startUp(variant)}
  ${itemBases}
  let row = 4u * (lane / 8u);
  let column = 4u * (lane % 8u);
  var sums = array<vec4<f32>, 4>();
  for (var k0 = kBegin; k0 < kEnd; k0 += ${tileK}u) {
    for (var i = lane; i < ${plainTile * tileK}u; i += ${threads}u) {
      let kk = i % ${tileK}u;
      let m = group.y * ${plainTile}u + i / ${tileK}u;
      let n = group.x * ${plainTile}u + i / ${tileK}u;
      let q = k0 + kk;
      let a = aOne(aBase + m * parameters.rowA + q * parameters.columnA);
      let b = ${b};
      aTile[kk][i / ${tileK}u] = select(0.0, a, m < parameters.m && q < kEnd);
      bTile[kk][i / ${tileK}u] = select(0.0, b, n < parameters.n && q < kEnd);
    }
    workgroupBarrier();
    for (var kk = 0u; kk < min(${tileK}u, kEnd - k0); kk++) {
      let right = vec4<f32>(bTile[kk][column], bTile[kk][column + 1u], bTile[kk][column + 2u], bTile[kk][column + 3u]);
      for (var i = 0u; i < 4u; i++) { sums[i] += aTile[kk][row + i] * right; }
    }
    workgroupBarrier();
  }
  for (var i = 0u; i < 4u; i++) {
    for (var j = 0u; j < 4u; j++) {
      let m = group.y * ${plainTile}u + row + i;
      let n = group.x * ${plainTile}u + column + j;
      if (m < parameters.m && n < parameters.n) {
        let at = cBase + m * parameters.ldc + n;
        c[at] = parameters.alpha * sums[i][j]${bias ? ' + bias[parameters.firstBias + n]' : ''}${accumulate ? ' + c[at]' : ''};
      }
    }
  }
}`;
}
