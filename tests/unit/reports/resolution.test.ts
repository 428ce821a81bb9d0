/** What a study could have seen, of the simulated study and on the command line. */
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildComparison, studyResolution } from '../../../src-main/reports/index.ts';
import { roundoff } from '../../support/captured-terminal.ts';
import { sweepProject } from '../../support/sweep-project.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { fakeStudy } from './fake-study.ts';

const comparison = buildComparison(fakeStudy());

describe('studyResolution', () => {
  const { rows } = studyResolution(comparison, { difference: 0.03, power: 0.8 });

  it('covers every compared run, and averages see more than benchmarks', () => {
    expect(rows.map((row) => row.run)).toEqual(comparison.rows.filter((row) => !row.isBaseline).map((row) => row.name));
    for (const { average, benchmarks, seeds } of rows) {
      expect(seeds).toBe(3);
      expect(average!.problems).toBe(500);
      const seen = benchmarks.map((item) => item.detectable!);
      expect(average!.detectable!).toBeLessThan(seen.reduce((sum, each) => sum + each, 0) / seen.length);
      expect(average!.requiredProblems > 500).toBe(average!.detectable! > 0.03);
    }
  });

  it('gives a chance that rises with the difference, to the wanted power at the detectable one', () => {
    for (const { average } of rows) {
      const { curve, detectable } = average!;
      for (const [index, point] of curve.slice(1).entries()) expect(point.power).toBeGreaterThanOrEqual(curve[index]!.power);
      const near = curve.reduce((best, point) =>
        Math.abs(point.difference - detectable!) < Math.abs(best.difference - detectable!) ? point : best,
      );
      expect(near.power).toBeGreaterThan(0.7);
      expect(near.power).toBeLessThan(0.9);
    }
  });

  it('is about the interval’s half-width and a half, as 1.96 + 0.84 is to 1.96', () => {
    for (const { average, change } of rows) {
      const half = (change!.high - change!.low) / 2;
      expect(average!.detectable! / half).toBeGreaterThan(1.2);
      expect(average!.detectable! / half).toBeLessThan(1.7);
    }
  });

  it('leaves out averages while runs are incomplete, and runs without a baseline', () => {
    const partial = fakeStudy();
    const samples = [...partial.samples].filter(([runId, benchmark]) => runId !== 'run-1' || benchmark === 'abacus-sums');
    const first = studyResolution(buildComparison({ ...partial, samples })).rows[0]!;
    expect(first).toMatchObject({ average: null, change: null });
    expect(first.benchmarks.map((item) => item.benchmark)).toEqual(['abacus-sums']);
    expect(studyResolution(buildComparison(fakeStudy({ pending: ['baseline'] }))).rows).toEqual([]);
  });
});

describe('study resolution', () => {
  it('reads a project', async () => {
    const file = path.join(temporaryFolder('resolution'), 'study.roundoff');
    sweepProject(file, fakeStudy({ problems: 20 })).project.close();
    const { code, stdout } = await roundoff('study', 'resolution', '--project', file, '--difference', '1');
    expect(code).toBe(0);
    expect(stdout).toMatch(/run +change +average +abacus-sums .* problems for 1\.0 points/);
    const json = JSON.parse((await roundoff('study', 'resolution', '--project', file, '--power', '90', '--json')).stdout);
    expect(json).toMatchObject({ difference: 0.02, power: 0.9 });
    expect(json.rows).toHaveLength(8);
  });

  it('plans without one', async () => {
    const { stdout } = await roundoff('study', 'resolution', '--disagreement', '15', '--difference', '5', '--json');
    // Equal to the closed form checked in tests/golden/statistics.test.ts.
    expect(JSON.parse(stdout).plans.find((line: { difference: number }) => line.difference === 0.05)).toMatchObject({ problems: 469 });
    const low = await roundoff('study', 'resolution', '--accuracy', '4', '--json');
    expect(JSON.parse(low.stdout).plans.map((line: { difference: number }) => line.difference)).toEqual([0.005, 0.01, 0.02, 0.03]);
  });

  it('refuses plans that say too little or what no share is', async () => {
    expect((await roundoff('study', 'resolution')).stderr).toContain('--accuracy or --disagreement');
    for (const bad of [
      ['--accuracy', '0'],
      ['--accuracy', '120'],
      ['--disagreement', 'x'],
      ['--power', '30', '--accuracy', '80'],
    ])
      expect((await roundoff('study', 'resolution', ...bad)).code, bad.join(' ')).toBe(2);
  });
});
