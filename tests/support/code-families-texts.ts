/** Families of programming problems on texts, as those on numbers. */
import type { Family } from './code-problems.ts';

export const textFamilies: Family[] = [
  {
    name: 'nearly_palindrome',
    text: (k) => `Can you make the text read the same both ways by striking out at most ${k} letters?`,
    takes: { text: 'text' },
    gives: 'bool',
    draw: (random, k) => {
      const half = random.word(5, 'abc');
      const whole = [...half, ...[...half].reverse()];
      for (let extra = random.integer(0, k + 2); extra > 0; extra--)
        whole.splice(random.integer(0, whole.length), 0, random.word(1, 'abc'));
      return [whole.join('')];
    },
    edges: (k) => [['abcdefghij'.slice(0, k + 1)]],
    solve: (k, text: string) => {
      const fits = (from: number, to: number, left: number): boolean => {
        if (left < 0) return false;
        if (from >= to) return true;
        if (text[from] === text[to]) return fits(from + 1, to - 1, left);
        return fits(from + 1, to, left - 1) || fits(from, to - 1, left - 1);
      };
      return fits(0, text.length - 1, k);
    },
    right: (k) => `
back = text[::-1]
row = [0] * (len(text) + 1)
for a in text:
    before, row = row, [0]
    for j, b in enumerate(back):
        row.append(before[j] + 1 if a == b else max(before[j + 1], row[-1]))
return len(text) - row[-1] <= ${k}`,
    wrong: (k) => `
back = text[::-1]
row = [0] * (len(text) + 1)
for a in text:
    before, row = row, [0]
    for j, b in enumerate(back):
        row.append(before[j] + 1 if a == b else max(before[j + 1], row[-1]))
return len(text) - row[-1] < ${k}`,
  },
  {
    name: 'shifted_letters',
    text: (k) => `Move each letter ${k} places on in the alphabet; after z comes a.`,
    takes: { text: 'text' },
    gives: 'text',
    draw: (random) => [random.word(9, 'abcdefghijklm')],
    edges: () => [['zebra']],
    solve: (k, text: string) => {
      const alphabet = 'abcdefghijklmnopqrstuvwxyz';
      return [...text].map((letter) => alphabet[(alphabet.indexOf(letter) + k) % 26]).join('');
    },
    right: (k) => `
from string import ascii_lowercase as letters
return text.translate(str.maketrans(letters, letters[${k}:] + letters[:${k}]))`,
    wrong: (k) => `return ''.join(chr(ord(c) + ${k}) for c in text)`,
  },
  {
    name: 'brackets',
    text: (k) => `Do all brackets ()[]{} close in order, and at most ${k} stand open at any time?`,
    takes: { text: 'text' },
    gives: 'bool',
    draw: (random, k) => {
      const nest = (depth: number): string => {
        if (depth === 0) return '';
        const [open, close] = ['()', '[]', '{}'][random.integer(0, 2)]!;
        return open + nest(depth - 1) + close + (random.integer(0, 2) ? '' : nest(1));
      };
      return [nest(random.integer(1, k + 1))];
    },
    edges: () => [['([)]'], [')(']],
    solve: (k, text: string) => {
      let rest = text;
      while (/\(\)|\[\]|\{\}/.test(rest)) rest = rest.replace(/\(\)|\[\]|\{\}/g, '');
      const depths = [...text].map((_, at) => [...text.slice(0, at + 1)].reduce((open, one) => open + ('([{'.includes(one) ? 1 : -1), 0));
      return rest === '' && Math.max(...depths) <= k;
    },
    right: (k) => `
stack = []
for c in text:
    if c in '([{':
        stack.append({'(': ')', '[': ']', '{': '}'}[c])
        if len(stack) > ${k}:
            return False
    elif not stack or stack.pop() != c:
        return False
return not stack`,
    wrong: (k) => `
depth = 0
for c in text:
    depth += 1 if c in '([{' else -1
    if depth < 0 or depth > ${k}:
        return False
return depth == 0`,
  },
  {
    name: 'cost_of_change',
    text: (k) =>
      `Putting a letter in or taking one out costs ${k}, replacing one costs 1. What does it cost to turn the first word into the second?`,
    takes: { first: 'text', second: 'text' },
    gives: 'int',
    draw: (random) => [random.word(6, 'abcd'), random.word(random.integer(4, 8), 'abcd')],
    edges: () => [['a', 'ab']],
    solve: (k, first: string, second: string) => {
      const cost = (i: number, j: number): number => {
        if (i === 0 || j === 0) return k * (i + j);
        const replaced = cost(i - 1, j - 1) + (first[i - 1] === second[j - 1] ? 0 : 1);
        return first[i - 1] === second[j - 1] ? replaced : Math.min(replaced, k + cost(i - 1, j), k + cost(i, j - 1));
      };
      return cost(first.length, second.length);
    },
    right: (k) => costOfChange(k, k),
    wrong: (k) => costOfChange(k, 1),
  },
  {
    name: 'commonest_word',
    text: (k) => `Which word of at least ${k} letters is the most frequent? Of several, the first in the alphabet.`,
    takes: { text: 'text' },
    gives: 'text',
    draw: (random, k) => [Array.from({ length: 9 }, () => random.word(k + random.integer(0, 1), 'ab')).join(' ')],
    edges: (k) => [[`${'b'.repeat(k)} ${'a'.repeat(k)} ${'b'.repeat(k)} ${'a'.repeat(k)}`]],
    solve: (k, text: string) => {
      const words = text.split(' ').filter((word) => word.length >= k);
      const count = (word: string) => words.filter((other) => other === word).length;
      return words.sort((a, b) => count(b) - count(a) || (a < b ? -1 : 1))[0]!;
    },
    right: (k) => `
from collections import Counter
counts = Counter(w for w in text.split() if len(w) >= ${k})
return min(counts, key=lambda w: (-counts[w], w))`,
    wrong: (k) => `
from collections import Counter
return Counter(w for w in text.split() if len(w) >= ${k}).most_common(1)[0][0]`,
  },
  {
    name: 'packed_runs',
    text: (k) => `Write each run of ${k} or more equal letters as the letter and its length; leave the others.`,
    takes: { text: 'text' },
    gives: 'text',
    draw: (random, k) => [Array.from({ length: 5 }, () => random.word(1, 'abcde').repeat(random.integer(1, 2 * k))).join('')],
    edges: (k) => [['x'.repeat(k)]],
    solve: (k, text: string) => text.replace(/(.)\1*/g, (run, letter: string) => (run.length >= k ? letter + run.length : run)),
    right: (k) => packedRuns(`>= ${k}`),
    wrong: (k) => packedRuns(`> ${k}`),
  },
  {
    name: 'few_letters',
    text: (k) => `How long is the longest part of the text, without gaps, that has at most ${k} different letters?`,
    takes: { text: 'text' },
    gives: 'int',
    draw: (random) => [random.word(14, 'abcdefgh')],
    edges: () => [['abcdefghij']],
    solve: (k, text: string) => {
      const parts = [...text].flatMap((_, from) => [...text].map((__, to) => text.slice(from, to + 1)));
      return Math.max(...parts.filter((part) => new Set(part).size <= k).map((part) => part.length));
    },
    right: (k) => fewLetters(`> ${k}`),
    wrong: (k) => fewLetters(`>= ${k}`),
  },
];

const costOfChange = (out: number, into: number) => `
row = [j * ${into} for j in range(len(second) + 1)]
for i, a in enumerate(first, 1):
    before, row = row, [i * ${out}]
    for j, b in enumerate(second):
        row.append(min(before[j] + (a != b), before[j + 1] + ${out}, row[-1] + ${into}))
return row[-1]`;

const packedRuns = (condition: string) => `
from itertools import groupby
packed = ''
for letter, run in groupby(text):
    size = len(list(run))
    packed += f'{letter}{size}' if size ${condition} else letter * size
return packed`;

const fewLetters = (condition: string) => `
counts, start, best = Counter(), 0, 0
for end, letter in enumerate(text):
    counts[letter] += 1
    while len(+counts) ${condition}:
        counts[text[start]] -= 1
        start += 1
    best = max(best, end - start + 1)
return best`;
