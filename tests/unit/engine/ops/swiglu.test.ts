import { describe, it } from 'vitest';
import { swiglu } from '../../../../src-main/engine/ops/index.ts';
import { swigluReference } from '../../../../src-main/engine/ops/swiglu/reference.ts';
import { checkOp, testBackends } from './op-check.ts';

describe.each(testBackends)('swiglu on %s', (backend) => {
  it.each([[[2, 3, 8]], [[7]], [[5, 1]], [[3, 2]]])('gates %j', async (shape) => {
    await checkOp(backend, {
      shapes: [shape, shape],
      exact: (gate, up) => gate.map((g, i) => (g / (1 + Math.exp(-g))) * up[i]!),
      forms: { swiglu: (gate, up) => swiglu(gate, up), reference: (gate, up) => swigluReference(gate, up) },
    });
  });
});
