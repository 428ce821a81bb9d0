/** Whether matrix products may round their factors, on backends that are faster that way. */
import { RoundoffError } from '#contract/errors.ts';

/** `half` lets factors be rounded to the half precision that the device multiplies fastest; sums stay in single precision. */
export type ProductPrecision = 'exact' | 'half';

const variable = 'ROUNDOFF_PRODUCT_PRECISION';

/** @throws RoundoffError `bad-input` for another value than `exact` or `half` */
export function chosenProductPrecision(): ProductPrecision {
  const chosen = process.env[variable] ?? 'exact';
  if (chosen === 'exact' || chosen === 'half') return chosen;
  throw new RoundoffError('bad-input', `${variable} is "${chosen}"`, 'Set it to `exact` or `half`, or leave it out for `exact`.');
}

/** The device as runs record it, so that results of rounded factors can be told from others. */
export function describeDevice(device: string, precision: ProductPrecision, remarks: readonly string[] = []): string {
  const all = [...remarks, ...(precision === 'half' ? ['products in half precision'] : [])];
  return all.length > 0 ? `${device} (${all.join(', ')})` : device;
}
