import { defineConfig } from 'vitest/config';

/**
 * One project per kind of test: `unit` needs nothing, `integration` starts real workers, `e2e` drives the built app in Chromium, `interop`
 * loads exports in other runtimes.
 */
const project = (name: string, include: string[], timeoutMs: number, oneAtATime = false) => ({
  test: {
    name,
    setupFiles: './tests/support/gpu-health.ts',
    include,
    expect: { poll: { timeout: 20_000 } },
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
    pool: 'forks' as const,
    fileParallelism: !oneAtATime,
  },
});

export default defineConfig({
  test: {
    reporters: ['default', './tests/support/summary-reporter.ts'],
    maxWorkers: 2,
    projects: [
      project('unit', ['tests/unit/**/*.test.ts', 'tests/golden/**/*.test.ts'], 120_000),
      project('integration', ['tests/integration/**/*.test.ts'], 240_000, true),
      project('e2e', ['tests/e2e/**/*.test.ts'], 900_000, true),
      project('study', ['tests/study/**/*.test.ts'], 1_800_000, true),
      project('interop', ['tests/interop/**/*.test.ts'], 900_000, true),
    ],
  },
});
