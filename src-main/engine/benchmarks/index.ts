/**
 * Benchmarks: problem files and the evaluation of a model on them.
 */
export { type Benchmark, type BenchmarkSource, inspectBenchmark, loadBenchmark } from './load.ts';
export { type Problem, parseProblem } from './problem.ts';
export { protocolHash } from './protocol-hash.ts';
