/**
 * Sample completions side by side: the same problem and seed in several runs, each with its extracted answer and verdict.
 */
import type { ComparisonRow } from '#contract/comparison.ts';
import type { SampleRow } from '#contract/records.ts';
import { badge } from './html-tables.ts';
import { type Markup, markup } from './markup.ts';

/** Longer texts are cut, saying so; a report is read, not searched. */
const maxCompletion = 1600;
const maxPrompt = 1200;
const maxGroups = 8;
const maxCompletions = 4;

/** Samples of the same benchmark, problem and seed become one group, in order of appearance. */
export function groupSampleRows(samples: readonly SampleRow[]): SampleRow[][] {
  return [...Map.groupBy(samples, ({ benchmark, problemId, seed }) => JSON.stringify([benchmark, problemId, seed])).values()];
}

export function samplesSection(samples: readonly SampleRow[], rows: readonly ComparisonRow[]): Markup {
  const baselines = new Set(rows.filter((row) => row.isBaseline).map((row) => row.runId));
  const groups = spreadOverBenchmarks(groupSampleRows(samples)).slice(0, maxGroups);
  return markup`${groups.map((group) => sampleGroup(group, baselines))}`;
}

/** One group of each benchmark, then the second of each, and so on. */
function spreadOverBenchmarks(groups: SampleRow[][]): SampleRow[][] {
  const byBenchmark = [...Map.groupBy(groups, (group) => group[0]!.benchmark).values()];
  const rounds = Math.max(0, ...byBenchmark.map((own) => own.length));
  return Array.from({ length: rounds }, (_, round) => byBenchmark.flatMap((own) => own.slice(round, round + 1))).flat();
}

function sampleGroup(group: SampleRow[], baselines: ReadonlySet<string>): Markup {
  const first = group[0]!;
  const shown = choose(group, baselines);
  const others = group.filter((sample) => !shown.includes(sample));
  return markup`<article class="sample"><header><p>${first.benchmark}, problem ${first.problemId}, seed ${first.seed}. Gold answer: <strong>${first.gold}</strong></p>
<pre>${cut(first.prompt, maxPrompt)}</pre></header>
<div class="completions">${shown.map(completion)}</div>
${others.length > 0 && markup`<footer>Not shown: ${others.map((sample) => markup`<span class="other">${sample.runName} ${badge(sample.verdict)}</span>`)}</footer>`}</article>`;
}

function completion(sample: SampleRow): Markup {
  return markup`<section class="completion"><h4><span>${sample.runName}</span>${badge(sample.verdict)}</h4>
<pre>${cut(sample.completion, maxCompletion)}</pre>
<p class="kicker">${sample.completionTokens} tokens, ${sample.extracted === null ? 'no answer extracted' : `extracted ${cut(sample.extracted, 200)}`}</p></section>`;
}

/** The baseline, then completions whose verdict differs from its, then others; shown in the order given. */
function choose(group: SampleRow[], baselines: ReadonlySet<string>): SampleRow[] {
  const baseline = group.find((sample) => baselines.has(sample.runId));
  const rank = (sample: SampleRow) => (sample === baseline ? 0 : sample.verdict !== baseline?.verdict ? 1 : 2);
  const ranked = [...group].sort((a, b) => rank(a) - rank(b));
  // Room for one that kept the baseline's verdict, so that a flip is seen beside what did not flip.
  const kept = ranked.find((sample) => rank(sample) === 2);
  const chosen = new Set(kept ? [...ranked.slice(0, maxCompletions - 1), kept] : ranked.slice(0, maxCompletions));
  return group.filter((sample) => chosen.has(sample));
}

function cut(text: string, limit: number): string {
  return text.length > limit ? `${text.slice(0, limit).toWellFormed()} … (${text.length - limit} more characters)` : text;
}
