/**
 * Writes resources/recipes/ptq-sweep.json: every method at eight, four, three and two bits in two group sizes, bitsandbytes' two formats, and
 * activations and cache at four and three bits. Stages are complete, with the defaults of today, so that a study keeps meaning the same.
 *
 *   node scripts/make-ptq-sweep.ts
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { quantizeStageSchema, type StudySpec, studySpecSchema, variantTitle } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';

const recipes = join(import.meta.dirname, '../resources/recipes');
const calibration = { path: 'sample:calibration/abacus.jsonl', samples: 128, sequenceLength: 128, seed: 0 };
const integerMethods = ['rtn', 'gptq', 'awq', 'quarot', 'flatquant'] as const;
const weightOnly = ['W8', 'W4', 'W3', 'W2'].flatMap((width) => [`${width}G128`, `${width}G32`]);
const wholly = ['W4A4KV4', 'W3A3KV3'];

function variant(method: (typeof integerMethods)[number] | 'nf4' | 'int8', text: string, addition = '', options = {}) {
  const scheme = parseScheme(text);
  const needsText = method !== 'rtn' && method !== 'nf4' && method !== 'int8';
  const stage = quantizeStageSchema.parse({ type: 'quantize', method, scheme, options, ...(needsText ? { calibration } : {}) });
  return { name: variantTitle(method, scheme) + addition, stages: [stage] };
}

const first = JSON.parse(readFileSync(join(recipes, 'first-study.json'), 'utf8')) as StudySpec;
const sweep = studySpecSchema.parse({
  ...first,
  name: 'PTQ sweep',
  description:
    'Every post-training method against every width: which one keeps Abacus reasoning, down to two bits, and with activations and cache quantized too?',
  variants: [
    ...[...weightOnly, ...wholly].flatMap((scheme) => integerMethods.map((method) => variant(method, scheme))),
    // QuaRot's published runs round weights by GPTQ, FlatQuant's to nearest: on equal terms each is measured the other way too.
    ...wholly.flatMap((scheme) => [
      variant('quarot', scheme, ', RTN weights', { weights: 'rtn' }),
      variant('flatquant', scheme, ', GPTQ weights', { weights: 'gptq' }),
    ]),
    variant('nf4', 'NF4'),
    variant('nf4', 'NF4:double'),
    variant('int8', 'INT8'),
  ],
});
writeFileSync(join(recipes, 'ptq-sweep.json'), `${JSON.stringify(sweep, null, 2)}\n`);
