/** The sandbox in which code that models wrote is run. */
export type { Isolation } from './launcher.ts';
export { defaultLimits, type SandboxLimits } from './limits.ts';
export { openSandbox, type Program, type RunOptions, type Sandbox, type SandboxOptions, type TestRun } from './sandbox.ts';
