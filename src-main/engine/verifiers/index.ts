/**
 * Verifiers: from a completion and a gold answer to a verdict.
 */

export { lastBoxed } from './boxed.ts';
export { canonicalAnswer, numericAnswer } from './canonical.ts';
export { type ExtractedAnswer, extractAnswer } from './extract.ts';
export { getVerifier, sameAnswer, type Verifier, type VerifyInput, type VerifyResult, verifierNames, verify } from './verify.ts';
