import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Command } from 'commander';
import { afterAll, describe, expect, it } from 'vitest';
import { addReferenceOptions, referenceDetails } from '../../../src-main/cli/benchmark-options.ts';
import { addCompletionOptions } from '../../../src-main/cli/options.ts';
import { addProtocolOptions, type ProtocolOptions, protocolFrom } from '../../../src-main/cli/protocol-options.ts';
import { chosenSpec, findSpec } from '../../../src-main/cli/run-study.ts';
import { roundoff } from '../../support/captured-terminal.ts';

const resourcesDir = path.resolve(import.meta.dirname, '../../../resources');
const folder = mkdtempSync(path.join(tmpdir(), 'roundoff-cli-benchmarks-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('what is said of benchmarks', () => {
  const parse = (...args: string[]) => addReferenceOptions(new Command().exitOverride()).parse(args, { from: 'user' }).opts();
  const details = (name: string, ...args: string[]) => referenceDetails(parse(...args), { name, names: ['a', 'b'], resourcesDir });

  it('is for one of them, or for all', () => {
    const args = ['--map', 'question=q,answer=a', '--map', 'b:question=other,answer=a', '--split', 'a:test', '--where', 'level=3..5'];
    expect(details('a', ...args)).toEqual({ split: 'test', columns: { question: 'q', answer: 'a' }, where: { level: '3..5' } });
    expect(details('b', ...args)).toEqual({ columns: { question: 'other', answer: 'a' }, where: { level: '3..5' } });
  });

  it('is refused when it means nothing', () => {
    expect(() => details('a', '--map', 'c:question=q')).toThrow(/maps no column/);
    expect(() => details('a', '--where', 'level')).toThrow(/selects nothing/);
    expect(() => details('a', '--kind', 'poetry')).toThrow(/no kind "poetry"/);
  });
});

describe('the protocol of the command line', () => {
  const protocolOf = (args: string[], more = { contextLength: 512, texts: false }) =>
    protocolFrom(
      addCompletionOptions(addProtocolOptions(new Command().exitOverride())).parse(args, { from: 'user' }).opts<ProtocolOptions>(),
      more,
    );

  it('has only what is said, templates by their names', () => {
    expect(Object.keys(protocolOf([]))).not.toContain('thinking');
    const said = protocolOf([
      '--template',
      'qrm-maths',
      '--thinking',
      'off',
      '--few-shot',
      '4',
      '--kind-template',
      'choice={question} {choices}',
    ]);
    expect(said.promptTemplate).toMatch(/^\{question\}\n\nPlease reason step by step/);
    expect(said).toMatchObject({ thinking: false, fewShot: { examples: 4, seed: 42 }, templates: { choice: '{question} {choices}' } });
  });

  it('reads texts in windows that fit the context', () => {
    expect(protocolOf([], { contextLength: 512, texts: true }).perplexity).toEqual({ window: 512, stride: 512 });
    expect(protocolOf(['--window', '100', '--stride', '40'], { contextLength: 512, texts: true }).perplexity).toEqual({
      window: 100,
      stride: 40,
    });
    expect(() => protocolOf(['--window', '100', '--stride', '400'], { contextLength: 512, texts: true })).toThrow(/leaves gaps/);
  });

  it('refuses templates that do not ask everything', () => {
    expect(() => protocolOf(['--template', 'hello'])).toThrow(/no \{question\}/);
    expect(() => protocolOf(['--kind-template', 'choice={question}'])).toThrow(/no \{choices\}/);
    expect(() => protocolOf(['--kind-template', 'poem=x'])).toThrow(/names no template/);
  });
});

describe('benchmark inspect', () => {
  it('prints layout, counts and columns; exit code 2 with every bad row', async () => {
    const file = path.join(folder, 'mine.csv');
    writeFileSync(file, 'prompt,target\n1+1?,2\n2+2?,\n3+3?,\n');
    const bad = await roundoff('benchmark', 'inspect', file, '--map', 'question=prompt,answer=target', '--json');
    expect(bad.code).toBe(2);
    const inspection = JSON.parse(bad.stdout) as { rows: number; problems: { where: string }[] };
    expect(inspection.rows).toBe(3);
    expect(inspection.problems.map(({ where }) => where)).toEqual(['mine.csv, line 3', 'mine.csv, line 4']);
    const good = await roundoff('benchmark', 'inspect', 'sample:benchmarks/abacus-sums.jsonl');
    expect(good.code).toBe(0);
    expect(good.stdout).toMatch(/abacus-sums: written answers \(maths\), 300 problems/);
  });
});

describe('a preset’s choices', () => {
  it('may leave benchmarks out, and name the split of a folder', async () => {
    const spec = await findSpec('paper-b-figure-1', resourcesDir);
    const choose = ['NuminaMath=/n.jsonl', 'hellaswag=/hub/datasets--Rowan--hellaswag#validation', 'winogrande=/w.jsonl'];
    const made = chosenSpec(spec, { model: ['/m'], leaveOut: ['aime-120', 'math-500'], choose }, resourcesDir);
    expect(made.benchmarks).toEqual([
      { name: 'winogrande', path: '/w.jsonl' },
      { name: 'hellaswag', path: '/hub/datasets--Rowan--hellaswag', split: 'validation' },
    ]);
    expect(() => chosenSpec(spec, { leaveOut: ['gsm8k'] }, resourcesDir)).toThrow(/no benchmark "gsm8k"/);
  });

  it('may be run on another backend and over fewer problems, never over more than it has', async () => {
    const spec = await findSpec('first-study', resourcesDir);
    expect(chosenSpec(spec, {}, resourcesDir)).toEqual(spec);
    const narrow = chosenSpec(spec, { backend: 'webgpu', problems: 7 }, resourcesDir);
    expect(narrow).toEqual({ ...spec, backend: 'webgpu', protocol: { ...spec.protocol, problemsPerBenchmark: 7 } });
    expect(chosenSpec(narrow, { problems: 50 }, resourcesDir)).toEqual(narrow);
  });
});
