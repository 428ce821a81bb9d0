/** Families of programming problems on lists of numbers, as those on numbers. */
import type { Family } from './code-problems.ts';

export const listFamilies: Family[] = [
  {
    name: 'sum_of_multiples',
    text: (k) => `Add up all values that ${k} divides.`,
    takes: { values: 'ints' },
    gives: 'int',
    draw: (random, k) => [random.ints(8, 1, 60).map((value) => (random.integer(0, 1) ? value * k : value))],
    edges: (k) => [[[-k, 2 * k, -3 * k]]],
    solve: (k, values: number[]) => values.filter((value) => value % k === 0).reduce((sum, value) => sum + value, 0),
    right: (k) => `return sum(v for v in values if v % ${k} == 0)`,
    wrong: (k) => `return sum(v for v in values if v > 0 and v % ${k} == 0)`,
  },
  {
    name: 'best_run',
    text: (k) => `Take ${k} from every value. What is the largest sum of one or more neighbours?`,
    takes: { values: 'ints' },
    gives: 'int',
    draw: (random, k) => [random.ints(9, -10, 20 + k)],
    edges: (k) => [[[k - 5, k - 2, k - 9]]],
    solve: (k, values: number[]) => {
      let best = -Infinity;
      for (let from = 0; from < values.length; from++) {
        let sum = 0;
        for (const value of values.slice(from)) {
          sum += value - k;
          best = Math.max(best, sum);
        }
      }
      return best;
    },
    right: (k) => `
best = here = values[0] - ${k}
for v in values[1:]:
    here = max(here, 0) + v - ${k}
    best = max(best, here)
return best`,
    wrong: (k) => `
best = here = 0
for v in values:
    here = max(0, here + v - ${k})
    best = max(best, here)
return best`,
  },
  {
    name: 'pairs_apart',
    text: (k) => `How many pairs of positions hold values that differ by exactly ${k}?`,
    takes: { values: 'ints' },
    gives: 'int',
    draw: (random, k) => [random.ints(10, 0, 2 * k + 2)],
    edges: (k) => [[[1, 1, 1 + k]]],
    solve: (k, values: number[]) => values.flatMap((a, i) => values.slice(i + 1).filter((b) => Math.abs(a - b) === k)).length,
    right: (k) => `
seen = {}
count = 0
for v in values:
    count += seen.get(v - ${k}, 0) + seen.get(v + ${k}, 0)
    seen[v] = seen.get(v, 0) + 1
return count`,
    wrong: (k) => `
seen = set(values)
return sum(1 for v in seen if v + ${k} in seen)`,
  },
  {
    name: 'longest_plateau',
    text: (k) => `Two neighbours are level when they differ by at most ${k}. How long is the longest stretch of level neighbours?`,
    takes: { values: 'ints' },
    gives: 'int',
    draw: (random, k) => [random.ints(9, 0, 3 * k)],
    edges: (k) => [[[0, 5 * k, 9 * k, 9 * k, 9 * k]]],
    solve: (k, values: number[]) => {
      const reach = (from: number): number => {
        const next = values[from + 1];
        return next !== undefined && Math.abs(next - values[from]!) <= k ? 1 + reach(from + 1) : 1;
      };
      return Math.max(...values.map((_, from) => reach(from)));
    },
    right: (k) => `
best = run = 1
for a, b in zip(values, values[1:]):
    run = run + 1 if abs(a - b) <= ${k} else 1
    best = max(best, run)
return best`,
    wrong: (k) => `
best = run = 1
for a, b in zip(values, values[1:]):
    if abs(a - b) <= ${k}:
        run += 1
    else:
        best = max(best, run)
        run = 1
return best`,
  },
  {
    name: 'kth_largest',
    text: (k) => `Equal values count each by itself. Which value is the ${k}-th largest?`,
    takes: { values: 'ints' },
    gives: 'int',
    draw: (random, k) => [random.ints(k + 4, 0, 1000)],
    edges: (k) => [[[...Array.from({ length: k }, () => 70), ...Array.from({ length: k }, (_, index) => index)]]],
    solve: (k, values: number[]) => [...values].sort((a, b) => b - a)[k - 1]!,
    right: (k) => `
import heapq
return heapq.nlargest(${k}, values)[-1]`,
    wrong: (k) => `return sorted(set(values))[-${k}]`,
  },
  {
    name: 'rotated',
    text: (k) => `Turn the list by ${k} places to the right.`,
    takes: { values: 'ints' },
    gives: 'ints',
    draw: (random, k) => [random.ints(k + 3, -50, 50)],
    edges: (k) => [[Array.from({ length: k - 1 }, (_, index) => index)]],
    solve: (k, values: number[]) => values.map((_, index) => values[(index + k * values.length - k) % values.length]!),
    right: (k) => `
shift = ${k} % len(values)
return values[-shift:] + values[:-shift] if shift else values`,
    wrong: (k) => `return values[-${k}:] + values[:-${k}]`,
  },
  {
    name: 'longest_climb',
    text: (k) =>
      `Choose positions from left to right so that each value is at least ${k} above the one chosen before. How many can you choose?`,
    takes: { values: 'ints' },
    gives: 'int',
    draw: (random, k) => [random.ints(12, 0, 5 * k)],
    edges: (k) => [[[0, k, 2 * k]]],
    solve: (k, values: number[]) => {
      const longest: number[] = [];
      values.forEach((value, at) => {
        longest.push(1 + Math.max(0, ...longest.filter((_, before) => before < at && value - values[before]! >= k)));
      });
      return Math.max(...longest);
    },
    right: (k) => `
@lru_cache(None)
def climb(i):
    return 1 + max((climb(j) for j in range(i) if values[i] - values[j] >= ${k}), default=0)
return max(map(climb, range(len(values))))`,
    wrong: (k) => `
@lru_cache(None)
def climb(i):
    return 1 + max((climb(j) for j in range(i) if values[i] - values[j] > ${k}), default=0)
return max(map(climb, range(len(values))))`,
  },
  {
    name: 'sums_to_target',
    text: (k) => `How many stretches of neighbours add up to ${k}?`,
    takes: { values: 'ints' },
    gives: 'int',
    draw: (random, k) => [random.ints(12, -3, k)],
    edges: (k) => [[[k]]],
    solve: (k, values: number[]) =>
      values.flatMap((_, from) => values.slice(from).filter((__, to) => values.slice(from, from + to + 1).reduce((a, b) => a + b) === k))
        .length,
    right: (k) => `
from collections import defaultdict
seen = defaultdict(int, {0: 1})
total = count = 0
for v in values:
    total += v
    count += seen[total - ${k}]
    seen[total] += 1
return count`,
    wrong: (k) => `
from collections import defaultdict
seen = defaultdict(int)
total = count = 0
for v in values:
    total += v
    count += seen[total - ${k}]
    seen[total] += 1
return count`,
  },
  {
    name: 'window_maxima',
    text: (k) => `What is the largest value of each ${k} neighbours, from left to right?`,
    takes: { values: 'ints' },
    gives: 'ints',
    draw: (random, k) => [random.ints(k + 6, -100, 100)],
    edges: (k) => [[Array.from({ length: k + 1 }, (_, index) => index)]],
    solve: (k, values: number[]) => values.slice(k - 1).map((_, from) => Math.max(...values.slice(from, from + k))),
    right: (k) => `
from collections import deque
queue, maxima = deque(), []
for i, v in enumerate(values):
    while queue and values[queue[-1]] <= v:
        queue.pop()
    queue.append(i)
    if queue[0] <= i - ${k}:
        queue.popleft()
    if i >= ${k - 1}:
        maxima.append(values[queue[0]])
return maxima`,
    wrong: (k) => `return [max(values[i:i + ${k}]) for i in range(len(values) - ${k})]`,
  },
  {
    name: 'trades',
    text: (k) => `You may buy and later sell one share, at most ${k} times, never holding two. What is the largest gain?`,
    takes: { prices: 'ints' },
    gives: 'int',
    draw: (random) => [random.ints(10, 1, 40)],
    edges: () => [[[1, 3, 1, 3]]],
    solve: (k, prices: number[]) => {
      let best = prices.map(() => 0);
      for (let trade = 0; trade < k; trade++) {
        const before = best;
        best = prices.map((_, day) => {
          let gain = before[day]!;
          for (let buy = 0; buy <= day; buy++)
            for (let sell = buy; sell <= day; sell++) gain = Math.max(gain, before[buy]! + prices[sell]! - prices[buy]!);
          return gain;
        });
      }
      return best.at(-1)!;
    },
    right: (k) => `
cash, held = [0] * ${k + 1}, [float('-inf')] * ${k + 1}
for p in prices:
    for t in range(1, ${k + 1}):
        held[t] = max(held[t], cash[t - 1] - p)
        cash[t] = max(cash[t], held[t] + p)
return max(cash)`,
    wrong: () => `
low, best = prices[0], 0
for p in prices:
    low = min(low, p)
    best = max(best, p - low)
return best`,
  },
  {
    name: 'median',
    text: (k) => `What is ${k} times the median of the values? That of an even number of values is halfway between the middle two.`,
    takes: { values: 'ints' },
    gives: 'number',
    draw: (random) => [random.ints(random.integer(3, 8), -20, 20)],
    edges: (k) => [[[2, 1]], [[k, k + 1, 0, 5 * k]]],
    solve: (k, values: number[]) => {
      const sorted = [...values].sort((a, b) => a - b);
      return (k * (sorted[Math.floor((values.length - 1) / 2)]! + sorted[Math.floor(values.length / 2)]!)) / 2;
    },
    right: (k) => `
import statistics
return ${k} * statistics.median(values)`,
    wrong: (k) => `
values.sort()
return ${k} * values[len(values) // 2]`,
  },
];
