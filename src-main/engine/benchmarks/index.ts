/**
 * Benchmark files, without the tensor engine: what main needs to inspect and plan. The evaluation itself is in `evaluate.ts`.
 */
export { type Benchmark, type BenchmarkSource, inspectBenchmark, loadBenchmark } from './load.ts';
export { type Problem, parseProblem } from './problem.ts';
export { protocolHash } from './protocol-hash.ts';
