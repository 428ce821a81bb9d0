import { describe, expect, it } from 'vitest';
import { buildComparison, type CompactSample, findings } from '../../../src-main/reports/index.ts';
import { benchmarkNames, fakeStudy } from './fake-study.ts';

const full = fakeStudy();
const comparison = buildComparison(full);
const row = (name: string, from = comparison) => from.rows.find((candidate) => candidate.name === name)!;
const withVerdict = ([runId, benchmark, seed, problemId, , ...rest]: CompactSample, verdict: CompactSample[4]): CompactSample => [
  runId,
  benchmark,
  seed,
  problemId,
  verdict,
  ...rest,
];
const share = (samples: CompactSample[]) => samples.filter((sample) => sample[4] === 'correct').length / samples.length;

describe('buildComparison', () => {
  it('has a row per run in the given order, with method, scheme and size', () => {
    expect(comparison.rows.map(({ name }) => name)).toEqual(full.runs.map(({ name }) => name));
    expect(row('baseline')).toMatchObject({ isBaseline: true, method: 'none', scheme: 'none', sizeBytes: 1_606_912, bitsPerWeight: 16 });
    expect(row('GPTQ W2G32')).toMatchObject({
      method: 'gptq',
      scheme: 'W2G32',
      sizeBytes: 443_520,
      bitsPerWeight: 2.56,
      elapsedMs: 18_400,
    });
    expect(comparison.complete).toBe(true);
  });

  it('agrees with the samples counted directly', () => {
    const samples = [...full.samples].filter(([runId]) => runId === 'run-8');
    for (const [index, name] of benchmarkNames.entries()) {
      const own = samples.filter((sample) => sample[1] === name);
      const result = row('GPTQ W2G32').benchmarks[index]!;
      expect(result).toMatchObject({ benchmark: name, problems: 100, seeds: [42, 43, 44] });
      expect(result.accuracy.value).toBeCloseTo(share(own), 12);
      expect(result.meanTokens).toBeCloseTo(own.reduce((sum, sample) => sum + sample[5], 0) / own.length, 9);
      expect(Object.values(result.verdicts).reduce((a, b) => a + b)).toBe(300);
    }
    const means = row('GPTQ W2G32').benchmarks.map((result) => result.accuracy.value);
    expect(row('GPTQ W2G32').average?.value).toBeCloseTo(means.reduce((a, b) => a + b) / 5, 12);
  });

  it('compares with the baseline on the same problems and seeds', () => {
    const baseline = row('baseline');
    for (const run of comparison.rows.filter((candidate) => !candidate.isBaseline)) {
      expect(run.drop?.value).toBeCloseTo(baseline.average!.value - run.average!.value, 12);
      expect(run.recovery).toBeCloseTo(run.average!.value / baseline.average!.value, 12);
      for (const [index, result] of run.benchmarks.entries()) {
        const change = result.accuracy.value - baseline.benchmarks[index]!.accuracy.value;
        expect(result.versusBaseline?.value).toBeCloseTo(change, 12);
        expect((result.versusBaseline!.gained - result.versusBaseline!.lost) / 300).toBeCloseTo(change, 12);
      }
    }
    expect(baseline.drop).toBeNull();
    expect(row('RTN W2G128').drop?.verdict).toBe('worse');
    expect(row('RTN W4G128').drop?.verdict).toBe('not distinguishable');
  });

  it('counts a stage that runs share once in the time of the study', () => {
    const own = full.runs.flatMap(({ stages }) => stages.map(({ elapsedMs }) => elapsedMs!)).reduce((sum, time) => sum + time, 0);
    expect(comparison.elapsedMs).toBe(own);
    const source = full.runs[8]!;
    const ownStage = { ...source.stages[0]!, index: 1, startedAt: 900, elapsedMs: 70 };
    const heir = { ...source, id: 'heir', parentRunId: source.id, stages: [...source.stages, ownStage] };
    const shared = buildComparison({ ...full, runs: [...full.runs, heir] });
    expect(shared.rows.at(-1)!.elapsedMs).toBe(source.stages[0]!.elapsedMs! + 70);
    expect(shared.elapsedMs).toBe(own + 70);
  });

  it('does not depend on the order of samples and counts a repeated sample once', () => {
    const samples = [...full.samples];
    const shuffled = [...samples].reverse();
    expect(buildComparison({ ...full, samples: shuffled })).toEqual(comparison);
    expect(buildComparison({ ...full, samples: [...samples, ...samples.slice(0, 500)] })).toEqual(comparison);
  });

  it('leaves averages and drops open until every benchmark is complete', () => {
    const samples = [...full.samples].filter((sample, index) => sample[0] !== 'run-3' || index % 2 === 0);
    const partial = row('RTN W3G128', buildComparison({ ...full, samples }));
    expect(partial).toMatchObject({ average: null, drop: null, recovery: null });
    expect(partial.benchmarks[0]?.versusBaseline).not.toBeNull();
    expect(partial.notes).toEqual(['750 of 1500 samples recorded; until all are, short completions weigh more.']);
    const queued = buildComparison(fakeStudy({ pending: ['baseline', 'GPTQ W2G32'] }));
    expect(queued.complete).toBe(false);
    expect(row('GPTQ W2G32', queued)).toMatchObject({ status: 'queued', benchmarks: [], average: null, elapsedMs: null });
    expect(row('RTN W4G128', queued)).toMatchObject({ drop: null, recovery: null });
    expect(row('RTN W4G128', queued).average).not.toBeNull();
  });

  it('pairs each run with the baseline of its own model', () => {
    const other = full.runs.map((run) => ({ ...run, id: `other-${run.id}`, modelId: 2 }));
    const samples = [...full.samples];
    const failing = samples
      .map(([runId, ...rest]): CompactSample => [`other-${runId}`, ...rest])
      .map((sample): CompactSample => (sample[0] === 'other-run-0' ? withVerdict(sample, 'incorrect') : sample));
    const models = [...full.models, { ...full.models[0]!, id: 2, name: 'Other' }];
    const both = buildComparison({ ...full, models, runs: [...full.runs, ...other], samples: [...samples, ...failing] });
    expect(both.rows.slice(0, 9)).toEqual(comparison.rows);
    const better = both.rows[10]!;
    expect(better).toMatchObject({ model: 'Other', recovery: null });
    expect(better.drop?.verdict).toBe('better');
  });

  it('does not pair what was measured by another protocol, and says so', () => {
    const measuredBy = (protocolHash: string, index: number) => ({
      ...{ index, type: 'evaluate' as const, title: 'Evaluate', status: 'finished' as const, startedAt: 1, elapsedMs: 2 },
      summary: { type: 'evaluate' as const, protocolHash, samples: 1500, tokensPerSecond: 9 },
    });
    const changed = (name: string, hash: string) =>
      buildComparison({
        ...full,
        runs: full.runs.map((run) => (run.name === name ? { ...run, stages: [...run.stages, measuredBy(hash, 7)] } : run)),
      });
    const other = row('RTN W3G128', changed('RTN W3G128', 'ffff0000ffff0000'));
    expect(other).toMatchObject({ otherProtocol: 'ffff0000ffff0000', drop: null, recovery: null });
    expect(other.benchmarks.map(({ versusBaseline }) => versusBaseline)).toEqual(other.benchmarks.map(() => null));
    expect(other.average).not.toBeNull();
    expect(other.notes).toEqual([
      expect.stringMatching(/another protocol \(ffff0000ffff\) than the study's .* not paired with the baseline/),
    ]);
    const alone = row('RTN W3G128', changed('baseline', 'ffff0000ffff0000'));
    expect(alone).toMatchObject({ otherProtocol: null, drop: null });
    expect(alone.notes).toEqual([expect.stringMatching(/baseline was measured by another protocol/)]);
    expect(row('RTN W3G128', changed('RTN W3G128', full.study.protocolHash)).drop).not.toBeNull();
  });

  it('keeps texts apart from benchmarks, and counts what is scored by likelihood once per problem', () => {
    const [first, ...others] = full.benchmarks;
    const once = [...full.samples].filter(([, benchmark, seed]) => benchmark !== first!.name || seed === full.study.protocol.seeds[0]);
    const text = { name: 'story', path: '/story.txt', sha256: 'd', problems: 1, kind: 'text' as const };
    const evaluated = { type: 'evaluate' as const, protocolHash: full.study.protocolHash, samples: 1, tokensPerSecond: 9 };
    const runs = full.runs.map((run) => ({
      ...run,
      stages: [
        ...run.stages,
        { index: 7, type: 'evaluate' as const, title: '', status: 'finished' as const, startedAt: 1, elapsedMs: 2, summary: evaluated },
      ],
    }));
    const windowsOf = (nats: number) => new Map([['story', [0, 1].map((window) => ({ benchmark: 'story', window, tokens: 10, nats }))]]);
    const windows = new Map(full.runs.map((run, index) => [run.id, windowsOf(20 + index)]));
    const both = buildComparison({
      ...full,
      runs,
      benchmarks: [{ ...first!, kind: 'likelihood' }, ...others, text],
      samples: once,
      windows,
    });
    expect(both.benchmarks.map(({ kind }) => kind)).toEqual(['likelihood', ...others.map(() => undefined)]);
    expect(both.texts).toEqual([{ name: 'story', path: '/story.txt', sha256: 'd' }]);
    expect(both.rows[0]).toMatchObject({ notes: [], perplexities: [{ text: 'story', perplexity: Math.exp(2), change: null }] });
    expect(both.rows[0]!.average).not.toBeNull();
    expect(both.rows[2]!.perplexities[0]!.change!.ratio).toBeCloseTo(Math.exp(0.2), 10);
  });

  it('carries notes and errors', () => {
    expect(row('GPTQ W2G128').notes).toEqual([expect.stringContaining('Damping was raised')]);
    const runs = full.runs.map((run) =>
      run.name === 'RTN W2G32'
        ? { ...run, status: 'failed' as const, error: { code: 'numeric' as const, message: 'NaN.', hint: 'Try again.' } }
        : run,
    );
    expect(row('RTN W2G32', buildComparison({ ...full, runs })).notes).toEqual(['NaN. Try again.']);
  });
});

describe('findings', () => {
  const text = (from = comparison) => findings(from).map((finding) => `${finding.title}. ${finding.text}`);

  it('names the smallest run that is not distinguishable, from the data', () => {
    const expected = comparison.rows
      .filter((candidate) => candidate.drop && candidate.drop.verdict !== 'worse')
      .sort((a, b) => a.sizeBytes! - b.sizeBytes!)[0]!;
    expect(text()[1]).toContain(`${expected.method.toUpperCase()} ${expected.scheme} is the smallest not distinguishable`);
  });

  it('names the scheme where the methods part, the largest loss and runaway lengths', () => {
    expect(text().some((line) => /^The method matters most at W2G32\. GPTQ keeps .* intervals do not overlap/.test(line))).toBe(true);
    expect(text().some((line) => /^RTN W2G128 loses the most/.test(line))).toBe(true);
    expect(text().some((line) => /^RTN W2G128 often does not come to an end/.test(line))).toBe(true);
  });

  it('says so when every run is worse, and when nothing has been measured', () => {
    const bad = [...full.samples].map((sample): CompactSample => (sample[0] === 'run-0' ? sample : withVerdict(sample, 'incorrect')));
    const allWorse = text(buildComparison({ ...full, samples: bad }));
    expect(allWorse).toContainEqual(expect.stringMatching(/^Every quantized run is measurably worse/));
    expect(allWorse).toContainEqual(expect.stringMatching(/^The methods do not part/));
    const nothing = text(buildComparison({ ...full, samples: [], runs: full.runs.map((run) => ({ ...run, status: 'queued' as const })) }));
    expect(nothing).toEqual([expect.stringMatching(/^Not every run has finished.*baseline \(queued\)/)]);
  });
});
