/** What one answer may use. Times are of the processor, so that a busy machine fails no answer; wall time ends what only waits. */
export interface SandboxLimits {
  /** Processor time of one test. */
  testCpuMs: number;
  /** Wall time of one test; the only clock where the system does not tell a process's processor time. */
  testWallMs: number;
  /** Processor time of all tests together. */
  totalCpuMs: number;
  /** Wall time of all tests together. */
  totalWallMs: number;
  /** Python's memory. */
  memoryBytes: number;
  /** Printed, or returned as JSON, in one test. */
  outputBytes: number;
}

/**
 * LiveCodeBench gives each test 6 s of a native interpreter. Python in WebAssembly takes about twice as long (docs/sandbox.md), hence 12 s.
 */
export const defaultLimits: SandboxLimits = {
  testCpuMs: 12_000,
  testWallMs: 60_000,
  totalCpuMs: 120_000,
  totalWallMs: 600_000,
  memoryBytes: 1024 * 2 ** 20,
  outputBytes: 16 * 2 ** 20,
};

/** From the start of the process until the interpreter waits for a program. */
export const startMs = 60_000;
/** Of the whole process beyond Python's memory: Node itself, compiled code, the snapshot as it is read. */
export const processBytes = 512 * 2 ** 20;
