/** A recorded sweep over every method, read back from the project file as screens and reports get it. */
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StudyComparison } from '#contract/comparison.ts';
import type { ExportFormat } from '#contract/recipe.ts';
import { findStudy } from '../../../src-main/project/repositories/studies.ts';
import { buildComparison } from '../../../src-main/reports/index.ts';
import { compareStudy } from '../../../src-main/runs/compare-study.ts';
import { sweepProject } from '../../support/sweep-project.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { fakeStudy, sweepVariants } from '../reports/fake-study.ts';

const exported: Record<string, ExportFormat> = { 'GPTQ W4G128': 'gptq', NF4: 'bitsandbytes' };
const source = fakeStudy({ wide: true, problems: 4 });
const study = {
  ...source,
  runs: source.runs.map((run) => {
    const format = exported[run.name];
    return format ? { ...run, recipe: { ...run.recipe, stages: [...run.recipe.stages, { type: 'export' as const, format }] } } : run;
  }),
};

describe('the comparison of a recorded sweep', () => {
  const folder = temporaryFolder('sweep');
  let recorded: StudyComparison;
  let close: () => void;
  const row = (name: string) => recorded.rows.find((candidate) => candidate.name === name)!;

  beforeAll(() => {
    const { project, studyId } = sweepProject(path.join(folder, 'sweep.roundoff'), study);
    close = () => project.close();
    recorded = compareStudy(project.db, findStudy(project.db, studyId)!);
  });
  afterAll(() => close());

  it('has the numbers that the samples give, whichever way they come', () => {
    const direct = buildComparison(source);
    expect(recorded.complete).toBe(true);
    expect(
      recorded.rows.map(({ name, method, scheme, average, drop, recovery }) => ({ name, method, scheme, average, drop, recovery })),
    ).toEqual(direct.rows.map(({ name, method, scheme, average, drop, recovery }) => ({ name, method, scheme, average, drop, recovery })));
    expect(recorded.rows).toHaveLength(1 + sweepVariants.length);
  });

  it('says where exports load, and elsewhere what a scheme could be exported to', () => {
    expect(row('GPTQ W4G128').loadsIn).toMatchObject({ exported: true, runtimes: expect.arrayContaining(['transformers', 'vLLM']) });
    expect(row('GPTQ W3G128').loadsIn).toMatchObject({ exported: false, runtimes: expect.arrayContaining(['transformers']) });
    expect(row('QuaRot W4A4KV4').loadsIn).toEqual({ exported: false, runtimes: [] });
    expect(row('baseline').loadsIn).toBeNull();
  });

  it('carries what was calibrated on, and nothing for methods without data', () => {
    expect(row('AWQ W4').calibration).toMatchObject({ domain: 'maths', source: 'text', samples: 128 });
    expect(row('RTN W4').calibration).toBeNull();
  });
});
