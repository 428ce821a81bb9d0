/** Families of programming problems on texts, grids and graphs, as those on numbers. */
import type { Family } from './code-problems.ts';

export const structureFamilies: Family[] = [
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
    name: 'large_islands',
    text: (k) => `Cells with 1 that touch at a side are one island. How many islands have ${k} or more cells?`,
    takes: { grid: 'grid' },
    gives: 'int',
    draw: (random) => [Array.from({ length: 5 }, () => random.ints(6, 0, 1))],
    edges: (k) => [[[Array.from({ length: k + 1 }, (_, index) => (index < k ? 1 : 0))]]],
    solve: (k, grid: number[][]) => {
      const left = grid.map((row) => [...row]);
      const sink = (row: number, column: number): number => {
        if (left[row]?.[column] !== 1) return 0;
        left[row]![column] = 0;
        return 1 + sink(row + 1, column) + sink(row - 1, column) + sink(row, column + 1) + sink(row, column - 1);
      };
      return grid.flatMap((row, y) => row.map((_, x) => sink(y, x))).filter((size) => size >= k).length;
    },
    right: (k) => islands(`>= ${k}`),
    wrong: (k) => islands(`> ${k}`),
  },
  {
    name: 'shortest_way',
    text: (k) =>
      `You go from the first cell (top left) to the last (bottom right), side by side, through cells below ${k}. How few steps does it take? -1 if there is no way.`,
    takes: { grid: 'grid' },
    gives: 'int',
    draw: (random, k) => {
      const grid = Array.from({ length: 5 }, () => random.ints(5, 0, k));
      grid[0]![0] = 0;
      grid[4]![4] = 0;
      return [grid];
    },
    edges: () => [
      [
        [
          [0, 0],
          [1, 0],
        ],
      ],
    ],
    solve: (k, grid: number[][]) => {
      const far = grid.map((row) => row.map(() => Infinity));
      const walk = (y: number, x: number, steps: number): void => {
        if (!((grid[y]?.[x] ?? k) < k) || far[y]![x]! <= steps) return;
        far[y]![x] = steps;
        for (const [dy, dx] of [
          [0, 1],
          [1, 0],
          [0, -1],
          [-1, 0],
        ] as const)
          walk(y + dy, x + dx, steps + 1);
      };
      walk(0, 0, 0);
      const steps = far.at(-1)!.at(-1)!;
      return Number.isFinite(steps) ? steps : -1;
    },
    right: (k) => shortestWay(k, 0),
    wrong: (k) => shortestWay(k, 1),
  },
  {
    name: 'spiral',
    text: (k) => `Add ${k} to every number of the grid and list them along the spiral from the top left inwards, to the right first.`,
    takes: { grid: 'grid' },
    gives: 'ints',
    draw: (random) => {
      const columns = random.integer(2, 5);
      return [Array.from({ length: random.integer(2, 5) }, () => random.ints(columns, 0, 99))];
    },
    edges: () => [
      [
        [
          [1, 2, 3],
          [4, 5, 6],
          [7, 8, 9],
        ],
      ],
    ],
    solve: (k, grid: number[][]) => {
      const rest = grid.map((row) => [...row]);
      const out: number[] = [];
      while (rest.length > 0 && rest[0]!.length > 0) {
        out.push(...rest.shift()!);
        for (const row of rest) out.push(row.pop()!);
        out.push(...(rest.pop() ?? []).reverse());
        for (const row of [...rest].reverse()) if (row.length > 0) out.push(row.shift()!);
      }
      return out.filter((value) => value !== undefined).map((value) => value + k);
    },
    right: (k) => `
path = []
while grid:
    path += grid.pop(0)
    grid = [list(row) for row in zip(*grid)][::-1]
return [v + ${k} for v in path]`,
    wrong: (k) => `
path = []
while grid:
    path += grid.pop(0)
    grid = [list(row) for row in zip(*grid)]
return [v + ${k} for v in path]`,
  },
  {
    name: 'merged_spans',
    text: (k) =>
      `Each row is a span from its first to its second number. Join spans with at most ${k} between them; list what results, from left to right.`,
    takes: { spans: 'grid' },
    gives: 'grid',
    draw: (random, k) => [
      Array.from({ length: 6 }, () => {
        const from = random.integer(0, 15 * k);
        return [from, from + random.integer(0, 2 * k)];
      }),
    ],
    edges: (k) => [
      [
        [
          [0, 1],
          [1 + k, 2 + k],
        ],
      ],
    ],
    solve: (k, spans: number[][]) => {
      const joined: number[][] = [];
      for (const [from, to] of [...spans].sort((a, b) => a[0]! - b[0]!)) {
        const last = joined.at(-1);
        if (last && from! - last[1]! <= k) last[1] = Math.max(last[1]!, to!);
        else joined.push([from!, to!]);
      }
      return joined;
    },
    right: (k) => mergedSpans(`<= ${k}`),
    wrong: (k) => mergedSpans(`< ${k}`),
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
    name: 'components',
    text: (k) => `Places 1 … n + ${k} are joined by roads, one a row. How many groups of places can reach each other?`,
    takes: { n: 'int', roads: 'grid' },
    gives: 'int',
    draw: (random) => [10, Array.from({ length: 8 }, () => random.ints(2, 1, 10))],
    edges: () => [[5, [[1, 2]]]],
    solve: (k, n: number, roads: number[][]) => {
      const group = Array.from({ length: n + k }, (_, index) => index);
      for (const [a, b] of roads) {
        const [from, to] = [group[a! - 1]!, group[b! - 1]!];
        for (let index = 0; index < group.length; index++) if (group[index] === from) group[index] = to;
      }
      return new Set(group).size;
    },
    right: (k) => components(`range(1, n + ${k + 1})`),
    wrong: () => components('{a for road in roads for a in road}'),
  },
  {
    name: 'distances',
    text: (k) =>
      `Each row is a road between two places and its length; every crossing costs ${k} more. How far is each place 1 … n from place 1? -1 if it cannot be reached.`,
    takes: { n: 'int', roads: 'grid' },
    gives: 'ints',
    draw: (random) => [6, Array.from({ length: 7 }, () => [...random.ints(2, 1, 6), random.integer(1, 9)])],
    edges: (k) => [
      [
        4,
        [
          [2, 1, 3],
          [3, 2, k],
        ],
      ],
    ],
    solve: (k, n: number, roads: number[][]) => {
      const far = Array.from({ length: n }, (_, index) => (index === 0 ? 0 : Infinity));
      for (let round = 0; round < n; round++)
        for (const [a, b, length] of roads) {
          far[b! - 1] = Math.min(far[b! - 1]!, far[a! - 1]! + length! + k);
          far[a! - 1] = Math.min(far[a! - 1]!, far[b! - 1]! + length! + k);
        }
      return far.map((value) => (Number.isFinite(value) ? value : -1));
    },
    right: (k) => distances(k, '((a, b), (b, a))'),
    wrong: (k) => distances(k, '((a, b),)'),
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

const islands = (condition: string) => `
sys.setrecursionlimit(10 ** 6)
def sink(y, x):
    if not (0 <= y < len(grid) and 0 <= x < len(grid[0]) and grid[y][x] == 1):
        return 0
    grid[y][x] = 2
    return 1 + sum(sink(y + dy, x + dx) for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)))
return sum(sink(y, x) ${condition} for y in range(len(grid)) for x in range(len(grid[0])) if grid[y][x] == 1)`;

const shortestWay = (k: number, start: number) => `
queue, seen = deque([(0, 0, ${start})]), {(0, 0)}
while queue:
    y, x, steps = queue.popleft()
    if (y, x) == (len(grid) - 1, len(grid[0]) - 1):
        return steps
    for ny, nx in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
        if 0 <= ny < len(grid) and 0 <= nx < len(grid[0]) and grid[ny][nx] < ${k} and (ny, nx) not in seen:
            seen.add((ny, nx))
            queue.append((ny, nx, steps + 1))
return -1`;

const mergedSpans = (condition: string) => `
joined = []
for start, end in sorted(spans):
    if joined and start - joined[-1][1] ${condition}:
        joined[-1] = (joined[-1][0], max(joined[-1][1], end))
    else:
        joined.append((start, end))
return joined`;

const packedRuns = (condition: string) => `
from itertools import groupby
packed = ''
for letter, run in groupby(text):
    size = len(list(run))
    packed += f'{letter}{size}' if size ${condition} else letter * size
return packed`;

const components = (places: string) => `
parent = {place: place for place in ${places}}
def root(a):
    while parent[a] != a:
        parent[a] = parent[parent[a]]
        a = parent[a]
    return a
for a, b in roads:
    parent[root(a)] = root(b)
return sum(root(a) == a for a in parent)`;

const distances = (k: number, directions: string) => `
import heapq
roads_from = collections.defaultdict(list)
for a, b, length in roads:
    for here, there in ${directions}:
        roads_from[here].append((there, length + ${k}))
far, heap = {}, [(0, 1)]
while heap:
    distance, here = heapq.heappop(heap)
    if here in far:
        continue
    far[here] = distance
    for there, length in roads_from[here]:
        heapq.heappush(heap, (distance + length, there))
return [far.get(place, -1) for place in range(1, n + 1)]`;

const fewLetters = (condition: string) => `
counts, start, best = Counter(), 0, 0
for end, letter in enumerate(text):
    counts[letter] += 1
    while len(+counts) ${condition}:
        counts[text[start]] -= 1
        start += 1
    best = max(best, end - start + 1)
return best`;
