/** Prints every skipped test's reason and, as the very last line, the totals in one plain sentence for scripts that read them. */
import type { Reporter, TestModule } from 'vitest/node';

export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const count = { passed: 0, failed: errors.length, skipped: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests())
        count[test.result().state === 'pending' ? 'skipped' : (test.result().state as keyof typeof count)] += 1;
      if (module.errors().length > 0) count.failed += 1;
    }
    process.on('exit', () => process.stdout.write(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped\n`));
  }
}
