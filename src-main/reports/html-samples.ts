/**
 * Sample completions side by side: the same problem and seed in several runs, each with its extracted answer and verdict.
 */
import type { SampleRow } from '#contract/records.ts';
import { badge } from './html-tables.ts';
import { type Markup, markup } from './markup.ts';

/** Longer texts are cut, saying so; a report is read, not searched. */
const maxCompletion = 1600;
const maxPrompt = 1200;
const maxGroups = 12;

/** Samples of the same benchmark, problem and seed become one group, in order of appearance. */
export function groupSampleRows(samples: readonly SampleRow[]): SampleRow[][] {
  const groups = new Map<string, SampleRow[]>();
  for (const sample of samples) {
    const key = JSON.stringify([sample.benchmark, sample.problemId, sample.seed]);
    const group = groups.get(key);
    if (group) group.push(sample);
    else groups.set(key, [sample]);
  }
  return [...groups.values()];
}

export function samplesSection(samples: readonly SampleRow[]): Markup {
  const groups = groupSampleRows(samples).slice(0, maxGroups);
  return markup`${groups.map(sampleGroup)}`;
}

function sampleGroup(group: SampleRow[]): Markup {
  const first = group[0]!;
  return markup`<article class="sample"><header><p>${first.benchmark}, problem ${first.problemId}, seed ${first.seed}. Gold answer: <strong>${first.gold}</strong></p>
<pre>${cut(first.prompt, maxPrompt)}</pre></header>
<div class="completions">${group.map(
    (sample) => markup`<section class="completion"><h4><span>${sample.runName}</span>${badge(sample.verdict)}</h4>
<pre>${cut(sample.completion, maxCompletion)}</pre>
<p class="kicker">${sample.completionTokens} tokens, ${sample.extracted === null ? 'no answer extracted' : `extracted ${cut(sample.extracted, 200)}`}</p></section>`,
  )}</div></article>`;
}

function cut(text: string, limit: number): string {
  const characters = text.length > limit ? text.slice(0, limit).toWellFormed() : text;
  return text.length > limit ? `${characters} … (${text.length - limit} more characters)` : characters;
}
