/**
 * Benchmarks: problem files and the evaluation of a model on them. Importing this loads the tensor engine; what only reads files
 * imports `load.ts` and `protocol-hash.ts`.
 */
export { type EvaluationInput, type EvaluationOptions, type EvaluationProgress, evaluateModel } from './evaluate.ts';
export { inspectBenchmark } from './inspect.ts';
export { type Benchmark, type BenchmarkSource, loadBenchmark } from './load.ts';
export type { Problem } from './problem.ts';
export { type Prompt, renderPrompt, renderPrompts } from './prompts.ts';
export { protocolHash } from './protocol-hash.ts';
