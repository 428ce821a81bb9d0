/**
 * A second text domain: plain English sentences without arithmetic, from templates. It is what calibration on the wrong domain
 * is measured with; a small share of Abacus's training is drawn from it, as ordinary prose is of any reasoner's.
 */
import { names } from './problems.ts';
import { type IntegerSource, pick } from './types.ts';

const slots: Record<string, readonly string[]> = {
  name: names,
  place: ['garden', 'harbour', 'market', 'mill', 'river', 'school', 'station', 'village'],
  animal: ['cat', 'dog', 'fox', 'goat', 'horse', 'owl'],
  look: ['old', 'quiet', 'small', 'bright', 'cold', 'green', 'white', 'long'],
  verb: ['walks', 'looks', 'waits', 'sings', 'rests', 'works'],
  time: ['morning', 'evening', 'summer', 'winter', 'night'],
  weather: ['rain', 'snow', 'wind', 'sun', 'fog'],
  object: ['bread', 'letter', 'lamp', 'door', 'boat', 'table', 'song', 'story'],
};

export const generalTemplates = [
  'The {look} {animal} {verb} near the {place} in the {time}.',
  '{name} {verb} by the {place} and thinks of the {look} {object}.',
  'In the {time} the {weather} comes over the {place}, and the {animal} {verb}.',
  'A {look} {object} stands on the {object} of the {place}.',
  '{name} tells {name} a story about a {animal} and a {look} {place}.',
  'When the {weather} is over, {name} opens the {object} and {verb}.',
  'The {place} is {look} and the {place} is {look}, but the {time} is {look}.',
  'Nobody knows why the {animal} of the {place} {verb} at {time}.',
] as const;

/** All words that can fill a slot. */
export const generalWords: readonly string[] = Object.values(slots).flat();

/** A paragraph of `sentences` sentences. */
export function drawGeneralText(sentences: number, random: IntegerSource): string {
  return Array.from({ length: sentences }, () =>
    pick(random, generalTemplates).replace(/\{(\w+)\}/g, (_, slot: string) => pick(random, slots[slot]!)),
  ).join(' ');
}
