/**
 * The sample study at full size, from the command line, twice: once undisturbed, once with the worker killed in the middle and resumed.
 * The findings are asserted as the study's statistics state them; nothing here is tuned to pass.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = path.resolve(import.meta.dirname, '../..');
const folder = mkdtempSync(path.join(tmpdir(), 'roundoff-study-'));

interface Interval {
  value: number;
  low: number;
  high: number;
}
interface Row {
  recipe: string;
  status: string;
  benchmarks: { benchmark: string; accuracy: number; problems: number }[];
  average: Interval;
  drop: (Interval & { verdict: string }) | null;
}

function start(project: string): { child: ChildProcess; done: Promise<{ code: number | null; rows: Row[] }> } {
  const args = [path.join(root, 'src-main/cli/index.ts'), 'study', 'run', 'first-study', '--project', project, '--json'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ROUNDOFF_HOME: folder } });
  let output = '';
  child.stdout!.on('data', (data) => {
    output += data;
  });
  const done = new Promise<{ code: number | null; rows: Row[] }>((resolve) => {
    child.on('close', (code) => resolve({ code, rows: output === '' ? [] : JSON.parse(output).rows }));
  });
  return { child, done };
}

/** The worker is the only child of the command-line process; Linux lists it in /proc. */
function workerOf(parent: number): number | null {
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const fields = readFileSync(`/proc/${entry}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ');
      if (Number(fields[1]) === parent) return Number(entry);
    } catch {
      // the process ended meanwhile
    }
  }
  return null;
}

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('the first study', () => {
  let rows: Row[] = [];
  const row = (name: string) => {
    const found = rows.find((item) => item.recipe === name);
    if (!found) throw new Error(`no row "${name}" among ${rows.map((item) => item.recipe).join(', ')}`);
    return found;
  };

  beforeAll(async () => {
    const startedAt = performance.now();
    const { done } = start(path.join(folder, 'undisturbed.roundoff'));
    const result = await done;
    expect(result.code).toBe(0);
    rows = result.rows;
    console.log(`first study: ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
    for (const item of rows) {
      const accuracies = item.benchmarks.map((benchmark) => benchmark.accuracy.toFixed(3)).join('  ');
      console.log(
        `${item.recipe.padEnd(14)} ${accuracies}  average ${item.average.value.toFixed(3)} [${item.average.low.toFixed(3)}, ${item.average.high.toFixed(3)}]`,
      );
    }
  }, 1_200_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('finishes the baseline and eight variants', () => {
    expect(rows.map((item) => item.status)).toEqual(Array(9).fill('finished'));
  });

  it('has a baseline that is sure of the easiest benchmark and has something to lose on the hardest', () => {
    const accuracies = row('baseline').benchmarks.map((benchmark) => benchmark.accuracy);
    expect(accuracies).toHaveLength(5);
    expect(accuracies[0]).toBeGreaterThanOrEqual(0.95);
    expect(accuracies.at(-1)).toBeGreaterThanOrEqual(0.4);
    expect(accuracies.at(-1)).toBeLessThanOrEqual(0.75);
  });

  it('shows GPTQ above RTN at W2G32, intervals apart', () => {
    expect(row('GPTQ W2G32').average.low).toBeGreaterThan(row('RTN W2G32').average.high);
  });

  it('shows GPTQ at W4G128 within three points of the baseline', () => {
    expect(row('baseline').average.value - row('GPTQ W4G128').average.value).toBeLessThanOrEqual(0.03);
  });

  it('ends with the same rows when the worker is killed in the middle and the study is resumed', async () => {
    const project = path.join(folder, 'killed.roundoff');
    const first = start(project);
    let killed = 0;
    for (const seconds of [20, 45]) {
      await wait(seconds * 1000);
      const worker = workerOf(first.child.pid!);
      if (worker !== null) {
        process.kill(worker, 'SIGKILL');
        killed += 1;
      }
    }
    expect(killed).toBeGreaterThan(0);
    expect((await first.done).code).toBe(1);
    const second = await start(project).done;
    expect(second.code).toBe(0);
    expect(second.rows).toEqual(rows);
  });
});
