/**
 * Families of programming problems on numbers. Each has a solution here and one in Python, written apart from each other, and a wrong Python
 * one as people write them; `edges` are inputs on which that one fails.
 */
import type { Family } from './code-problems.ts';

export const numberFamilies: Family[] = [
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
];

function isPrime(n: number): boolean {
  for (let divisor = 2; divisor * divisor <= n; divisor++) if (n % divisor === 0) return false;
  return n > 1;
}
