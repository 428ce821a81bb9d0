/**
 * Families of programming problems on numbers and lists. Each has a solution here and one in Python, written apart from each other, and a
 * wrong Python one as people write them; `edges` are inputs on which that one fails.
 */
import type { Family } from './code-problems.ts';

export const numberFamilies: Family[] = [
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
    name: 'numbers_with_ones',
    text: (k) => `How many of the numbers 1 … n have exactly ${k} ones in binary?`,
    takes: { n: 'int' },
    gives: 'int',
    draw: (random) => [random.integer(10, 3000)],
    edges: (k) => [[2 ** k - 1]],
    solve: (k, n: number) =>
      Array.from({ length: n }, (_, index) => (index + 1).toString(2)).filter((bits) => bits.replaceAll('0', '').length === k).length,
    right: (k) => `return sum(bin(i).count('1') == ${k} for i in range(1, n + 1))`,
    wrong: (k) => `return sum(bin(i).count('1') == ${k} for i in range(1, n))`,
  },
  {
    name: 'least_common_multiple',
    text: (k) => `What is ${k} times the least common multiple of the values?`,
    takes: { values: 'ints' },
    gives: 'int',
    draw: (random) => [random.ints(5, 1, 40)],
    edges: () => [[[1_000_003, 1_000_033, 1_000_037, 1_000_039]]],
    solve: (k, values: number[]) => {
      const gcd = (a: bigint, b: bigint): bigint => (b === 0n ? a : gcd(b, a % b));
      return BigInt(k) * values.map(BigInt).reduce((a, b) => (a / gcd(a, b)) * b, 1n);
    },
    right: (k) => `
from math import gcd
total = 1
for v in values:
    total = total * v // gcd(total, v)
return ${k} * total`,
    wrong: (k) => `
from math import gcd
total = 1
for v in values:
    total = int(total * v / gcd(total, v))
return ${k} * total`,
  },
  {
    name: 'fibonacci_remainder',
    text: (k) =>
      `F(0) = 0, F(1) = 1, and each further number is the sum of the two before it. What remains of F(n) divided by ${k + 1000}?`,
    takes: { n: 'int' },
    gives: 'int',
    draw: (random) => [random.integer(2, 20_000)],
    edges: () => [[0], [3]],
    solve: (k, n: number) => {
      let [a, b] = [0, 1];
      for (let step = 0; step < n; step++) [a, b] = [b, (a + b) % (k + 1000)];
      return a;
    },
    right: (k) => `
def double(m):
    if m == 0:
        return 0, 1
    a, b = double(m // 2)
    c, d = a * (2 * b - a), a * a + b * b
    return ((d, c + d) if m % 2 else (c, d))
return double(n)[0] % ${k + 1000}`,
    wrong: (k) => `
a, b = 0, 1
for _ in range(n):
    a, b = b, (a + b) % ${k + 1000}
return b`,
  },
  {
    name: 'fewest_coins',
    text: (k) => `How few coins, each as often as you like, make up ${k} times the amount? -1 if none do.`,
    takes: { coins: 'ints', amount: 'int' },
    gives: 'int',
    draw: (random) => [random.shuffle([2, 3, 5, 7, 11, 20]).slice(0, 3), random.integer(1, 60)],
    edges: (k) => [[[3 * k, k, 4 * k], 6]],
    solve: (k, coins: number[], amount: number) => {
      const fewest = [0];
      for (let sum = 1; sum <= k * amount; sum++) fewest.push(1 + Math.min(...coins.map((coin) => fewest[sum - coin] ?? Infinity)));
      return Number.isFinite(fewest[k * amount]!) ? fewest[k * amount]! : -1;
    },
    right: (k) => `
target = ${k} * amount
level, steps, seen = {target}, 0, {target}
while level:
    if 0 in level:
        return steps
    level = {rest - coin for rest in level for coin in coins if rest >= coin} - seen
    seen |= level
    steps += 1
return -1`,
    wrong: (k) => `
rest, used = ${k} * amount, 0
for coin in sorted(coins, reverse=True):
    used += rest // coin
    rest %= coin
return used if rest == 0 else -1`,
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
    name: 'written_in_base',
    text: (k) => `Write n in base ${k}, with the digits 0-9 and a-f.`,
    takes: { n: 'int' },
    gives: 'text',
    draw: (random) => [random.integer(16, 10 ** 9)],
    edges: () => [[0]],
    solve: (k, n: number) => n.toString(k),
    right: (k) => `
digits = ''
while n or not digits:
    n, digit = divmod(n, ${k})
    digits = '0123456789abcdef'[digit] + digits
return digits`,
    wrong: (k) => `
digits = ''
while n:
    n, digit = divmod(n, ${k})
    digits = '0123456789abcdef'[digit] + digits
return digits`,
  },
  {
    name: 'primes_by_remainder',
    text: (k) => `How many primes from 2 to n leave the remainder 1 when ${k} divides them?`,
    takes: { n: 'int' },
    gives: 'int',
    draw: (random) => [random.integer(20, 5000)],
    edges: (k) => [[Array.from({ length: 200 }, (_, index) => 1 + k * index).find((n) => n > k && isPrime(n))!]],
    solve: (k, n: number) => Array.from({ length: n + 1 }, (_, value) => value).filter((value) => value % k === 1 && isPrime(value)).length,
    right: (k) => `
sieve = bytearray([1]) * (n + 1)
for p in range(2, int(n ** 0.5) + 1):
    if sieve[p]:
        sieve[p * p::p] = bytes(len(range(p * p, n + 1, p)))
return sum(1 for p in range(2, n + 1) if sieve[p] and p % ${k} == 1)`,
    wrong: (k) => `return sum(all(p % d for d in range(2, int(p ** 0.5) + 1)) for p in range(2, n) if p % ${k} == 1)`,
  },
  {
    name: 'digit_sum_of_power',
    text: (k) => `What is the sum of the digits of n to the power of ${k + 8}?`,
    takes: { n: 'int' },
    gives: 'int',
    draw: (random) => [random.integer(2, 9999)],
    edges: () => [[12_345_678_987]],
    solve: (k, n: number) => [...String(BigInt(n) ** BigInt(k + 8))].reduce((sum, digit) => sum + Number(digit), 0),
    right: (k) => `
power, total = n ** ${k + 8}, 0
while power:
    power, digit = divmod(power, 10)
    total += digit
return total`,
    wrong: (k) => `return sum(map(int, str(int(float(n) ** ${k + 8}))))`,
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
    name: 'last_in_circle',
    text: (k) =>
      `n children, numbered from 1, stand in a circle. Every ${k}-th leaves, counted on from where the last one left. Who remains?`,
    takes: { n: 'int' },
    gives: 'int',
    draw: (random) => [random.integer(3, 300)],
    edges: () => [[1]],
    solve: (k, n: number) => {
      const circle = Array.from({ length: n }, (_, index) => index + 1);
      for (let at = 0; circle.length > 1; ) {
        at = (at + k - 1) % circle.length;
        circle.splice(at, 1);
      }
      return circle[0]!;
    },
    right: (k) => `
place = 0
for size in range(2, n + 1):
    place = (place + ${k}) % size
return place + 1`,
    wrong: (k) => `
place = 0
for size in range(2, n + 1):
    place = (place + ${k}) % size
return place`,
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
    name: 'fullest_bag',
    text: (k) => `Things have weights and values. What is the largest value of things that weigh at most ${4 * k} together?`,
    takes: { weights: 'ints', worths: 'ints' },
    gives: 'int',
    draw: (random) => [random.ints(8, 1, 12), random.ints(8, 1, 30)],
    edges: () => [[[1], [1]]],
    solve: (k, weights: number[], worths: number[]) => {
      let best = 0;
      for (let chosen = 0; chosen < 2 ** weights.length; chosen++) {
        const sum = (of: number[]) => of.reduce((total, one, index) => total + (chosen & (1 << index) ? one : 0), 0);
        if (sum(weights) <= 4 * k) best = Math.max(best, sum(worths));
      }
      return best;
    },
    right: (k) => `
best = [0] * ${4 * k + 1}
for w, v in zip(weights, worths):
    for room in range(${4 * k}, w - 1, -1):
        best[room] = max(best[room], best[room - w] + v)
return best[-1]`,
    wrong: (k) => `
best = [0] * ${4 * k + 1}
for w, v in zip(weights, worths):
    for room in range(w, ${4 * k + 1}):
        best[room] = max(best[room], best[room - w] + v)
return best[-1]`,
  },
  {
    name: 'row_of_pascal',
    text: (k) => `What remains of each number in row n of Pascal's triangle (row 0 is 1) when ${k} divides it?`,
    takes: { n: 'int' },
    gives: 'ints',
    draw: (random) => [random.integer(2, 40)],
    edges: () => [[0]],
    solve: (k, n: number) => {
      let row = [1 % k];
      for (let step = 0; step < n; step++) row = [...row, 0].map((value, index) => (value + (row[index - 1] ?? 0)) % k);
      return row;
    },
    right: (k) => `
from math import comb
return [comb(n, i) % ${k} for i in range(n + 1)]`,
    wrong: (k) => `
from math import comb
return [comb(n, i) % ${k} for i in range(n)]`,
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

function isPrime(n: number): boolean {
  for (let divisor = 2; divisor * divisor <= n; divisor++) if (n % divisor === 0) return false;
  return n > 1;
}
