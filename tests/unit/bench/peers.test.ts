import { describe, expect, it } from 'vitest';
import { reportFailed, reportMarkdown } from '../../../src-main/bench/gpu-check/report.ts';
import { parameterCounts, peerCase, peerCases } from '../../../src-main/bench/peers/cases.ts';
import type { PeersResult } from '../../../src-main/bench/peers/index.ts';
import { peakFlops, rooflineOf } from '../../../src-main/bench/peers/roofline.ts';
import { isFailure, lastAnswer, runProgram } from '../../../src-main/bench/peers/run-child.ts';
import { peerSizes } from '../../../src-main/bench/peers/sizes.ts';
import { peersMarkdown } from '../../../src-main/bench/peers/table.ts';

const sizes = peerSizes({ quick: false });
const peaks = { readBytesPerSecond: 3e12, copyBytesPerSecond: 2.5e12, flopsPerSecond: 5e13 };
const figure = (value: number, unit: string) => ({ value, unit, peakMemoryBytes: 1 });

const result: PeersResult = {
  ...{ sizes, peaks, notes: ['A note.'], missing: [{ name: 'TRL', reason: 'not installed: run pip' }] },
  device: { device: 'A card', software: false, features: ['half precision'], limits: {} },
  environment: { node: 'v26' },
  rows: [
    {
      ...{ id: 'gemm-f16', title: 'Product', mark: '≥ 0.6×', failures: [] },
      ours: { ...figure(400_000, 'GFLOPS'), kernels: [{ name: 'gemm-matrix', dispatches: 3, milliseconds: 30 }] },
      peers: [{ name: 'PyTorch', figure: figure(800_000, 'GFLOPS') }],
    },
    {
      ...{ id: 'train-step', title: 'Step', mark: null, ours: figure(500, 'ms/step') },
      peers: [{ name: 'eager', figure: figure(250, 'ms/step') }],
      failures: [{ name: 'compiled', reason: 'no\ncompiler | here' }],
    },
    { id: 'decode-1', title: 'Decode', mark: null, ours: null, peers: [], failures: [{ name: 'Roundoff', reason: 'it broke' }] },
  ],
};

describe('what the cases need', () => {
  it('follows from the model’s shape: Qwen3-0.6B has 440M weights in its linears and 156M in its table', () => {
    expect(parameterCounts(sizes.shape)).toEqual({ linears: 440_401_920, head: 155_582_464 });
    const dense = peerCase('decode-1').need(sizes)!;
    expect(dense.bytes).toBeGreaterThan(2 * 595_984_384);
    expect(dense.flops).toBeCloseTo(2 * 595_984_384 + 4 * 192 * 28 * 16 * 128, -2);
    expect(peerCase('decode-w4').need(sizes)!.bytes).toBeLessThan(dense.bytes / 2);
    expect(peerCase('gemm-f32').need(sizes)).toEqual({ bytes: 3 * 4 * 4096 ** 2, flops: 2 * 4096 ** 3 });
  });

  it('is set against the peaks', () => {
    const need = peerCase('decode-1').need(sizes)!;
    const perSecond = peaks.readBytesPerSecond / need.bytes;
    expect(rooflineOf('decode-1', perSecond / 2, sizes, peaks, 5e13)).toMatchObject({ bound: 'memory', share: 0.5 });
    expect(rooflineOf('gemm-f16', 4e5, sizes, peaks, 8e14)).toMatchObject({ bound: 'arithmetic', share: 0.5 });
    expect(rooflineOf('gemm-f32', 25_000, sizes, peaks, 8e14)).toMatchObject({ bound: 'arithmetic', share: 0.5 });
    expect(rooflineOf('decode-1', 1, sizes, null, 8e14)).toBeNull();
    expect(peakFlops(result.rows, peaks)).toBe(8e14);
  });

  it('names the size in every title, and knows the shapes', () => {
    const quick = peerSizes({ quick: true });
    for (const { id, title } of peerCases) if (id !== 'toy-step') expect(title(quick)).not.toBe(title(sizes));
    expect(peerSizes({ quick: true, shape: 'abacus' }).shape.vocabSize).toBe(448);
    expect(() => peerSizes({ quick: false, shape: 'gpt-5' })).toThrow(/no model shape "gpt-5"/);
  });
});

describe('the table', () => {
  const text = peersMarkdown(result);

  it('has ratios that are above 1 where ours is better, shares and kernels', () => {
    expect(text).toContain(
      '| Product | 400,000 GFLOPS | PyTorch | 800,000 GFLOPS | **0.50×** | 134.2 MB, 137.4 GFLOP | 50 % of arithmetic | ≥ 0.6× | gemm-matrix 100 % |',
    );
    expect(text).toContain('| Step | 500 ms/step | eager | 250 ms/step | **0.50×** |');
  });

  it('drops nothing: what failed and what is not installed is named', () => {
    expect(text).toContain('compiled | failed: no compiler / here');
    expect(text).toContain('| Decode | no figure | Roundoff | failed: it broke |');
    expect(text).toContain('Not measured: TRL, not installed: run pip.');
    expect(text).toContain('A note.');
  });
});

describe('the GPU check’s report', () => {
  const report = {
    ...{ date: '2026-01-01', command: 'gpu-check.sh', device: result.device, system: 'Linux', notes: [], peers: result, elapsedMs: 61_000 },
    checks: { total: 2, answers: [{ check: 'a', outcome: 'passed' as const, maxError: 0, tolerance: 1 }], notRun: null },
    study: {
      rows: [{ recipe: 'baseline', gpu: 0.9, processor: 0.91 }],
      milliseconds: { gpu: 1, processor: 2 },
      tolerance: 0.03,
      problems: 300,
    },
  };

  it('is one table in which every line has the same columns', () => {
    const lines = reportMarkdown(report)
      .split('\n')
      .filter((line) => line.startsWith('|'));
    expect(new Set(lines.map((line) => line.split(' | ').length)).size).toBe(1);
    expect(lines[2]).toContain('1 of 2 passed');
    expect(lines[3]).toContain('the same within 3.0 points over 300 problems');
    expect(reportFailed(report)).toBe(false);
  });

  it('fails with a check that deviates or was not run, and with another study', () => {
    const deviates = { check: 'b', outcome: 'deviates' as const, maxError: 0.5, tolerance: 0.1 };
    const checks = { ...report.checks, answers: [...report.checks.answers, deviates] };
    expect(reportFailed({ ...report, checks })).toBe(true);
    expect(reportMarkdown({ ...report, checks })).toContain('- b: off by 5.00e-1, allowed 0.1');
    const notRun = { names: ['b'], reason: 'no time was left' };
    expect(reportFailed({ ...report, checks: { ...report.checks, notRun } })).toBe(true);
    expect(reportMarkdown({ ...report, checks: { ...report.checks, notRun } })).toContain('- not run (no time was left): b');
    expect(reportFailed({ ...report, study: { ...report.study, tolerance: 0.001 } })).toBe(true);
    expect(reportFailed({ ...report, study: { reason: 'it broke' } })).toBe(true);
  });
});

describe('a child process', () => {
  const run = (code: string, limitMs = 20_000) => lastAnswer<{ value: number }>(runProgram(process.execPath, ['-e', code], { limitMs }));

  it('answers with its last line of JSON', () => {
    expect(run('console.log("warning"); console.log(JSON.stringify({ value: 1 })); console.log(JSON.stringify({ value: 2 }))')).toEqual({
      value: 2,
    });
  });

  it('that fails says why: in its answer, in its last words, or by its end', () => {
    expect(run('console.log(JSON.stringify({ reason: "no GPU" })); process.exit(1)')).toEqual({ reason: 'no GPU' });
    expect(run('console.error("segmentation"); process.exit(3)')).toEqual({ reason: 'it ended with 3: segmentation' });
    expect(run('throw new TypeError("no library")')).toEqual({ reason: 'it ended with 1: TypeError: no library' });
    expect(run('process.kill(process.pid, "SIGKILL")')).toEqual({ reason: 'it ended with SIGKILL: no message' });
    expect(isFailure(run(''))).toBe(true);
  });

  it('that takes too long is ended and says so', () => {
    expect(run('setInterval(() => {}, 1000)', 1200)).toEqual({ reason: 'it took more than 1 s' });
    expect(run('', 10)).toEqual({ reason: 'no time was left for it' });
  });
});
