import { expect, it } from 'vitest';
import { power24 } from '../../../../src-main/engine/observers/power.ts';

it('agrees with ** to 1e-12 over the whole range of errors a weight can have', () => {
  let worst = 0;
  for (let i = 0; i < 200_000; i++) {
    const x = (1 + (i % 997) / 997) * 2 ** (((i * 7919) % 200) - 140);
    worst = Math.max(worst, Math.abs(power24(x) / x ** 2.4 - 1));
  }
  expect(worst).toBeLessThan(1e-12);
});

it('sends 0 and numbers too small to matter to 0', () => {
  expect(power24(0)).toBe(0);
  expect(power24(2 ** -1040)).toBe(0);
});
