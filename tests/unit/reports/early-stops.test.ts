import { describe, expect, it } from 'vitest';
import type { BenchmarkStop } from '#contract/worker.ts';
import { buildComparison, type CompactSample, type ComparisonInput } from '../../../src-main/reports/index.ts';
import { protocolEntries } from '../../../src-main/reports/protocol-entries.ts';
import { benchmarkNames, fakeStudy } from './fake-study.ts';

const full = fakeStudy();
const [sums] = benchmarkNames as [string];
const precision = { points: 5, lookEvery: 10, leastProblems: 20 };

/** The study in which runs stopped on the first benchmark after so many problems. */
function stopped(stops: Record<string, number>, isFinished = true): ComparisonInput {
  const order = [...new Set([...full.samples].map(([, , , problemId]) => problemId))];
  const counts = ([runId, benchmark, , problemId]: CompactSample) => {
    const name = full.runs.find(({ id }) => id === runId)!.name;
    return benchmark !== sums || order.indexOf(problemId) < (stops[name] ?? order.length);
  };
  const runs = full.runs.map((run) => {
    const problems = stops[run.name];
    if (problems === undefined || !isFinished) return run;
    const stop: BenchmarkStop = { benchmark: sums, problems, of: 100, margin: 0.0432 };
    const summary = {
      type: 'evaluate' as const,
      protocolHash: full.study.protocolHash,
      samples: 3 * problems,
      tokensPerSecond: 9,
      stopped: [stop],
    };
    const evaluated = {
      index: 1,
      type: 'evaluate' as const,
      title: 'Evaluate',
      status: 'finished' as const,
      startedAt: 1,
      elapsedMs: 2,
      summary,
    };
    return { ...run, stages: [...run.stages.filter(({ type }) => type !== 'evaluate'), evaluated] };
  });
  const protocol = { ...full.study.protocol, precision };
  return { ...full, study: { ...full.study, protocol }, runs, samples: [...full.samples].filter(counts) };
}
const rowOf = (input: ComparisonInput, name: string) => buildComparison(input).rows.find((row) => row.name === name)!;

describe('benchmarks that stopped early', () => {
  it('are complete, with their number of problems and a note', () => {
    const row = rowOf(stopped({ 'GPTQ W3G128': 40 }), 'GPTQ W3G128');
    expect(row.benchmarks[0]!.problems).toBe(40);
    expect(row.average).not.toBeNull();
    expect(row.drop).not.toBeNull();
    expect(row.notes).toContain(`${sums}: stopped after 40 of 100 problems, known to ±4.3 points.`);
    expect(row.notes).toContain(`${sums}: compared with the baseline on the 40 problems that both have (40 here, 100 there).`);
  });

  it('are paired on the problems that both runs have', () => {
    const input = stopped({ baseline: 30, 'GPTQ W3G128': 60 });
    const row = rowOf(input, 'GPTQ W3G128');
    expect(row.notes).toContain(`${sums}: compared with the baseline on the 30 problems that both have (60 here, 30 there).`);
    const same = rowOf(stopped({ baseline: 30, 'GPTQ W3G128': 30 }), 'GPTQ W3G128');
    expect(row.benchmarks[0]!.versusBaseline).toEqual(same.benchmarks[0]!.versusBaseline);
    expect(same.notes.filter((note) => note.includes('compared'))).toEqual([]);
    expect(rowOf(input, 'baseline').notes).toEqual([`${sums}: stopped after 30 of 100 problems, known to ±4.3 points.`]);
  });

  it('are not complete while the run has not said that it stopped', () => {
    const row = rowOf(stopped({ 'GPTQ W3G128': 40 }, false), 'GPTQ W3G128');
    expect(row.average).toBeNull();
    expect(row.notes).toEqual(['1320 of 1500 samples recorded; until all are, short completions weigh more.']);
  });

  it('stand in the protocol of every report', () => {
    const entry = (input: ComparisonInput) => protocolEntries(input.study.protocol, 'h').find(([label]) => label === 'early stop')?.[1];
    expect(entry(stopped({}))).toMatch(/at most 5 points to either side, looked at after 20 problems of a seeded order and every 10 more/);
    expect(entry(full)).toBeUndefined();
  });
});
