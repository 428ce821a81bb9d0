/** GEMM by subgroup matrices: no software adapter multiplies them, so its shaders are compiled by Dawn's null backend, which offers everything. */

import { beforeAll, describe, expect, it } from 'vitest';
import { create, globals } from 'webgpu';
import { matrixTilings } from '../../../../../src-main/engine/backends/webgpu/gemm/choose.ts';
import { type MatrixShape, matrixKernel, matrixMemory } from '../../../../../src-main/engine/backends/webgpu/gemm/matrix-kernel.ts';
import { storedAs } from '../../../../../src-main/engine/backends/webgpu/gemm/operands.ts';
import type { Variant } from '../../../../../src-main/engine/backends/webgpu/gemm/variant.ts';

const nvidia = { componentType: 'f16', resultComponentType: 'f32', M: 16, N: 16, K: 16 };
const apple = { componentType: 'f32', resultComponentType: 'f32', M: 8, N: 8, K: 8 };
const intel = { componentType: 'f16', resultComponentType: 'f32', M: 8, N: 16, K: 16 };

const members = [
  ...['m', 'n', 'k', 'lda', 'ldb', 'ldc', 'firstA', 'firstB', 'firstC', 'firstBias'],
  ...['inner', 'strideA', 'strideB', 'strideC', 'outerA', 'outerB', 'outerC', 'slices', 'sliceK', 'strideSlice'],
];

function moduleOf(shape: MatrixShape, variant: Variant): string {
  const bindings = [
    `var<storage, read> a : array<${storedAs(variant.typeA, variant.vectorA)}>`,
    `var<storage, read> b : array<${storedAs(variant.typeB, variant.vectorB)}>`,
    'var<storage, read> bias : array<f32>',
    'var<storage, read_write> c : array<f32>',
  ].map((declaration, index) => `@group(0) @binding(${index}) ${declaration};`);
  return [
    'enable f16; enable subgroups; enable chromium_experimental_subgroup_matrix;',
    ...bindings,
    `struct Parameters { ${members.map((name) => `${name} : u32,`).join(' ')} alpha : f32 }`,
    '@group(0) @binding(4) var<uniform> parameters : Parameters;',
    matrixKernel(shape, variant),
  ].join('\n');
}

const plain: Variant = {
  ...{ transA: false, transB: true, typeA: 'f32', typeB: 'f32', vectorA: true, vectorB: true, vectorC: false },
  ...{ bias: false, accumulate: false, computed: null },
};
const variants: [string, Variant][] = [
  ['plain', plain],
  ['A transposed', { ...plain, transA: true, transB: false }],
  ['f16 operands with a bias', { ...plain, typeA: 'f16', typeB: 'f16', bias: true }],
  ['bf16 by f32 in odd sizes, added to C', { ...plain, typeA: 'bf16', vectorA: false, vectorB: false, accumulate: true }],
];

describe('subgroup-matrix GEMM', () => {
  // Dawn's objects must outlive what is made from them.
  let dawn: GPU;
  let adapter: GPUAdapter;
  let device: GPUDevice;

  beforeAll(async () => {
    Object.assign(globalThis, globals);
    dawn = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
    adapter = (await dawn.requestAdapter())!;
    const requiredFeatures = ['chromium-experimental-subgroup-matrix', 'subgroups', 'shader-f16'] as GPUFeatureName[];
    device = await adapter.requestDevice({ requiredFeatures });
  });

  it.each([
    ['16 × 16 × 16 f16', nvidia],
    ['8 × 8 × 8 f32', apple],
    ['8 × 16 × 16 f16', intel],
  ])('compiles with matrices of %s', async (_, matrix) => {
    for (const shape of matrixTilings(matrix, 32)) {
      for (const [name, variant] of variants) {
        const module = device.createShaderModule({ code: moduleOf(shape, variant) });
        const { messages } = await module.getCompilationInfo();
        const problems = messages.map(({ type, lineNum, message }) => `${type} in line ${lineNum}: ${message}`);
        expect(problems, `${name}, ${JSON.stringify(shape)}`).toEqual([]);
        if (matrixMemory(shape, variant) > device.limits.maxComputeWorkgroupStorageSize) continue;
        await device.createComputePipelineAsync({ layout: 'auto', compute: { module } });
      }
    }
  });
});
