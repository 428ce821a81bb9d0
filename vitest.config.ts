import { defineConfig } from 'vitest/config';

/** One project per kind of test: `unit` needs nothing, `integration` starts real workers, `e2e` drives the built app in Chromium. */
export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['tests/unit/**/*.test.ts', 'tests/golden/**/*.test.ts'], testTimeout: 60_000, pool: 'forks' } },
      { test: { name: 'integration', include: ['tests/integration/**/*.test.ts'], testTimeout: 240_000, hookTimeout: 120_000, pool: 'forks' } },
      { test: { name: 'e2e', include: ['tests/e2e/**/*.test.ts'], testTimeout: 600_000, hookTimeout: 240_000, pool: 'forks', fileParallelism: false } },
      { test: { name: 'study', include: ['tests/study/**/*.test.ts'], testTimeout: 1_500_000, hookTimeout: 240_000, pool: 'forks', fileParallelism: false } },
    ],
    maxWorkers: 2,
  },
});
