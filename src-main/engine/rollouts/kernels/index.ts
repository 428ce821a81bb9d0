/** The decode kernel module: everything JavaScript calls by name. Compiled by scripts/build-kernels.mjs into ../cpu/kernels-binary.ts. */
export { attend } from './attention';
export { appendKeysAndValues } from './cache';
export { prepareInput } from './inputs';
export { findPeaks } from './peaks';
export { addAndNormalize, addAndNormalizeSelected, embedAndNormalize, gatedUnits } from './rows';
