/** Searching completions: every filter against the same filter written in TypeScript, and what is read for it at 100,000 samples. */
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { querySamples } from '../../../src-main/project/repositories/sample-query.ts';
import { insertSample, studyOutcomes } from '../../../src-main/project/repositories/samples.ts';
import { type SampleQuery, sampleQuerySchema } from '../../../src-preload/contract/sample-query.ts';
import { roundoff } from '../../support/captured-terminal.ts';
import { exampleSample, recordedProject } from '../../support/recorded-project.ts';
import { sweepProject } from '../../support/sweep-project.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { fakeStudy } from '../reports/fake-study.ts';

const folder = temporaryFolder('sample-query');
const file = path.join(folder, 'small.roundoff');
const { project, studyId } = sweepProject(file, fakeStudy({ problems: 12 }));
const query = (change: Partial<SampleQuery>) => querySamples(project.db, sampleQuerySchema.parse({ studyId, limit: 500, ...change }));
const all = Array.from({ length: 4 }, (_, page) => query({ offset: 500 * page }).rows).flat();
const baseline = new Map(
  all.filter((row) => row.runName === 'baseline').map((row) => [`${row.benchmark} ${row.problemId} ${row.seed}`, row]),
);
const inBaseline = (row: (typeof all)[number]) =>
  row.runName === 'baseline' ? undefined : baseline.get(`${row.benchmark} ${row.problemId} ${row.seed}`);

describe('querySamples', () => {
  it('finds everything without a filter, runs in order, with the baseline’s verdict', () => {
    expect(query({}).total).toBe(9 * 5 * 12 * 3);
    expect(all).toHaveLength(9 * 5 * 12 * 3);
    expect(new Set(all.map((row) => row.id)).size).toBe(all.length);
    for (const row of all) expect(row.baselineVerdict).toBe(inBaseline(row)?.verdict ?? null);
  });

  it.each<[Partial<SampleQuery>, (row: (typeof all)[number]) => boolean]>([
    [{ verdict: 'truncated' }, (row) => row.verdict === 'truncated'],
    [{ benchmark: 'abacus-sums', seed: 43 }, (row) => row.benchmark === 'abacus-sums' && row.seed === 43],
    [{ flip: 'lost' }, (row) => inBaseline(row)?.verdict === 'correct' && row.verdict !== 'correct'],
    [{ flip: 'gained' }, (row) => inBaseline(row) !== undefined && inBaseline(row)?.verdict !== 'correct' && row.verdict === 'correct'],
    [{ flip: 'any' }, (row) => inBaseline(row) !== undefined && (inBaseline(row)?.verdict === 'correct') !== (row.verdict === 'correct')],
    [{ agreement: 'same' }, (row) => row.extracted !== null && inBaseline(row)?.extracted === row.extracted],
    [{ agreement: 'other' }, (row) => inBaseline(row) !== undefined && inBaseline(row)?.extracted !== row.extracted],
    [{ finishReason: 'length' }, (row) => row.finishReason === 'length'],
    [{ thinkingEnded: false }, (row) => !row.completion.includes('</think>')],
    [{ minTokens: 60, maxTokens: 90 }, (row) => row.completionTokens >= 60 && row.completionTokens <= 90],
    [{ text: 'BOXED{3}' }, (row) => row.completion.includes('boxed{3}')],
    [
      { flip: 'lost', verdict: 'truncated', benchmark: 'abacus-chains' },
      (row) => inBaseline(row)?.verdict === 'correct' && row.verdict === 'truncated' && row.benchmark === 'abacus-chains',
    ],
  ])('%j', (change, isWanted) => {
    const expected = all.filter(isWanted);
    expect(expected.length).toBeGreaterThan(0);
    expect(expected.length).toBeLessThan(all.length);
    const { total, rows } = query(change);
    expect(total).toBe(expected.length);
    expect(rows.map((row) => row.id)).toEqual(expected.slice(0, 500).map((row) => row.id));
  });

  it('gives pages that join', () => {
    const ids = [0, 40, 80].flatMap((offset) => query({ flip: 'any', offset, limit: 40 }).rows.map((row) => row.id));
    expect(ids).toEqual(query({ flip: 'any', limit: 120 }).rows.map((row) => row.id));
  });
});

describe('study samples', () => {
  it('prints the page, and the same as JSON', async () => {
    const args = ['study', 'samples', '--project', file, '--run', 'RTN W2G32', '--flip', 'lost', '--limit', '3'];
    const { code, stdout } = await roundoff(...args);
    expect(code).toBe(0);
    expect(stdout).toMatch(/RTN W2G32 +abacus-binary +abacus-binary-\d+ +42 +\w+ +correct/);
    const { stdout: json } = await roundoff(...args, '--json');
    const page = JSON.parse(json);
    const expected = all.filter(
      (row) => row.runName === 'RTN W2G32' && inBaseline(row)?.verdict === 'correct' && row.verdict !== 'correct',
    );
    expect(page.total).toBe(expected.length);
    expect(page.rows).toEqual(expected.slice(0, 3));
  });

  it('says why a completion is judged as it is, where that is known', async () => {
    const { project: judged, runIds } = recordedProject(path.join(folder, 'judged.roundoff'));
    insertSample(judged.db, runIds[0]!, 1, exampleSample('p1', { verdict: 'incorrect', detail: 'the comparison ran out of time' }));
    insertSample(judged.db, runIds[0]!, 1, exampleSample('p2'));
    judged.close();
    const { stdout } = await roundoff('study', 'samples', '--project', path.join(folder, 'judged.roundoff'), '--json');
    const { rows } = JSON.parse(stdout) as { rows: { problemId: string; detail: string | null }[] };
    const details = new Map(rows.map(({ problemId, detail }) => [problemId, detail]));
    expect([details.get('p1'), details.get('p2')]).toEqual(['the comparison ran out of time', null]);
  });

  it('refuses unknown runs and verdicts', async () => {
    const unknown = await roundoff('study', 'samples', '--project', file, '--run', 'W9');
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('The study has no run "W9"');
    expect(unknown.stderr).toContain('RTN W2G32');
    expect((await roundoff('study', 'samples', '--project', file, '--verdict', 'wrong')).code).toBe(2);
    expect((await roundoff('study', 'samples', '--project', file, '--limit', '501')).code).toBe(2);
  });

  it('stands beside the failures of the study', async () => {
    const { stdout } = await roundoff('study', 'show', '--project', file, '--failures');
    expect(stdout).toMatch(/RTN W2G128 +all +\d/);
    const { stdout: json } = await roundoff('study', 'show', '--project', file, '--failures', '--json');
    const row = JSON.parse(json).find(({ recipe }: { recipe: string }) => recipe === 'RTN W2G128');
    expect(row.benchmarks).toHaveLength(5);
    const lost = all.filter(
      (sample) =>
        sample.runName === 'RTN W2G128' &&
        sample.benchmark === 'abacus-sums' &&
        inBaseline(sample)?.verdict === 'correct' &&
        sample.verdict === 'truncated',
    );
    expect(row.benchmarks[0]).toMatchObject({
      benchmark: 'abacus-sums',
      samples: 36,
      change: { pairs: 36, lostTo: { truncated: lost.length } },
    });
  });
});

describe('100,000 samples of 4 kB', () => {
  const { project: large, studyId: largeId, runIds } = recordedProject(path.join(folder, 'large.roundoff'));
  const verdicts = ['correct', 'incorrect', 'unparsed', 'truncated'] as const;
  large.db.transaction(() => {
    for (const [run, runId] of runIds.entries())
      for (let index = 0; index < 50_000; index++) {
        const verdict = verdicts[(index * (7 + run)) % 11 < 8 ? 0 : 1 + (index % 3)]!;
        const completion = `<think>${'2 and 2 is 4. '.repeat(290)}</think>4`;
        insertSample(large.db, runId, 1, exampleSample(`p${index}`, { verdict, completion, completionTokens: 10 + (index % 900) }));
      }
  })();

  it('are filtered, counted and paged from the index, fast', () => {
    const timesMs: Record<string, number> = {};
    const timed = (name: string, work: () => void) => {
      const start = performance.now();
      work();
      timesMs[name] = Math.round(performance.now() - start);
    };
    const ask = (change: Partial<SampleQuery>) => querySamples(large.db, sampleQuerySchema.parse({ studyId: largeId, ...change }));
    timed('no filter', () => expect(ask({}).total).toBe(100_000));
    timed('last page', () => expect(ask({ offset: 99_950 }).rows).toHaveLength(50));
    timed('verdict', () => expect(ask({ verdict: 'truncated' }).total).toBeGreaterThan(1000));
    timed('lost', () => expect(ask({ flip: 'lost' }).total).toBeGreaterThan(1000));
    timed('length', () => expect(ask({ minTokens: 900 }).total).toBeGreaterThan(100));
    timed('other answer', () => expect(ask({ agreement: 'other' }).total).toBe(0));
    timed('outcomes', () => expect(studyOutcomes(large.db, largeId)).toHaveLength(100_000));
    console.info(`milliseconds at 100,000 samples: ${JSON.stringify(timesMs)}`);
    for (const [name, ms] of Object.entries(timesMs)) expect(ms, name).toBeLessThan(3000);
  });

  it('are never read for their texts', () => {
    const plan = large.db
      .prepare(
        `EXPLAIN QUERY PLAN SELECT run_id, verdict, finish_reason, thinking_ended, extracted FROM samples INDEXED BY samples_by_outcome WHERE run_id = ?`,
      )
      .all('x') as { detail: string }[];
    expect(plan.map((step) => step.detail).join()).toContain('COVERING INDEX samples_by_outcome');
  });
});
