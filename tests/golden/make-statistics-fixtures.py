"""Reference results for the statistics of evaluations, from SciPy and statsmodels.

Run from the repository's root: python tests/golden/make-statistics-fixtures.py
Writes tests/golden/fixtures/statistics.json. Needs numpy, scipy and statsmodels.
"""

import itertools
import json
import math
import pathlib
from fractions import Fraction

import numpy as np
import scipy
import statsmodels
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

SEED = 20240817


def distributions():
    zs = [-12.0, -6.5, -3.0001, -3.0, -1.96, -0.5, 0.0, 1e-9, 0.7, 2.9999, 3.3, 8.0]
    ps = [1e-12, 1e-6, 0.001, 0.025, 0.2, 0.5, 0.9, 0.975, 0.9999]
    degrees = [1, 2, 5, 29, 99, 499, 1318, 100_000]
    betas = [(0.3, 2.5, 4.0), (0.9, 0.5, 0.5), (0.02, 10.0, 300.0), (0.5, 60.0, 60.0)]
    return {
        "normalCdf": [[z, stats.norm.cdf(z)] for z in zs],
        "normalQuantile": [[p, stats.norm.ppf(p)] for p in ps],
        "student95": [[d, stats.t.ppf(0.975, d)] for d in degrees],
        "studentCdf": [[t, d, stats.t.cdf(t, d)] for t in (-4.0, -0.3, 1.2, 6.0) for d in (1, 4, 50)],
        # The cumulative binomial probability is an incomplete beta function: P(X <= k) = I_(1-p)(n-k, k+1).
        "beta": [[x, a, b, stats.beta.cdf(x, a, b)] for x, a, b in betas],
        "binomial": [[k, n, p, stats.binom.cdf(k, n, p)] for k, n, p in [(3, 10, 0.5), (40, 100, 0.37), (0, 30, 0.02), (480, 500, 0.95)]],
    }


def answers(random, problems, seeds, ragged=False):
    """Right answers and samples of each problem; problems differ in difficulty."""
    chances = np.clip(random.beta(1.2, 0.6, problems), 0, 1)
    counts = random.integers(1, seeds + 1, problems) if ragged else np.full(problems, seeds)
    return [[int(random.binomial(n, p)), int(n)] for n, p in zip(counts, chances)]


def clustered(random):
    """OLS of right (1) and wrong (0) on a constant, covariance clustered by problem."""
    cases = []
    for problems, seeds, ragged in [(12, 3, False), (60, 3, False), (200, 5, True), (500, 1, False)]:
        scores = answers(random, problems, seeds, ragged)
        y = np.concatenate([[1.0] * c + [0.0] * (n - c) for c, n in scores])
        groups = np.concatenate([[i] * n for i, (_, n) in enumerate(scores)])
        fit = sm.OLS(y, np.ones_like(y)).fit(cov_type="cluster", cov_kwds={"groups": groups})
        cases.append({"scores": scores, "mean": float(fit.params[0]), "variance": float(fit.cov_params()[0, 0])})
    return cases


def wilson():
    cases = []
    for correct, n in [(0, 30), (3, 40), (250, 500), (499, 500), (120, 120)]:
        low, high = proportion_confint(correct, n, alpha=0.05, method="wilson")
        cases.append({"correct": correct, "n": n, "low": float(low), "high": float(high)})
    return cases


def pairs(random, problems, seeds, drift):
    """[pairs, gained, lost] of each problem."""
    result = []
    for chance in random.beta(1.2, 0.8, problems):
        before = random.random(seeds) < chance
        after = random.random(seeds) < np.clip(chance + drift, 0, 1)
        result.append([seeds, int((after & ~before).sum()), int((before & ~after).sum())])
    return result


def paired(random):
    """Mean difference per problem with the two pseudo-problems of Agresti and Min, as weighted descriptive statistics."""
    cases = []
    for problems, seeds, drift in [(40, 1, -0.1), (120, 3, -0.05), (500, 3, 0.0), (30, 2, 0.3)]:
        data = pairs(random, problems, seeds, drift)
        d = np.array([(g - l) / n for n, g, l in data])
        weighted = DescrStatsW(np.append(d, [1, -1, 0]), weights=np.append(np.ones(problems), [0.5, 0.5, 1.0]), ddof=0)
        half = stats.t.ppf(0.975, problems - 1) * math.sqrt(weighted.var / (problems + 2))
        value = float(d.mean())
        low, high = float(weighted.mean - half), float(weighted.mean + half)
        cases.append({"pairs": data, "value": value, "low": max(-1, min(value, low)), "high": min(1, max(value, high))})
    return cases


def mcnemar_cases():
    cases = []
    for gained, lost in [(1, 8), (5, 5), (0, 10), (37, 61), (400, 470), (0, 1)]:
        exact = mcnemar([[0, gained], [lost, 0]], exact=True).pvalue
        point = stats.binom.pmf(min(gained, lost), gained + lost, 0.5)
        mid = 1 - point / 2 if gained == lost else exact - point
        cases.append({"gained": gained, "lost": lost, "exact": float(exact), "mid": float(mid)})
    return cases


def clustered_mcnemar(random):
    """All sign patterns of the problems' differences."""
    cases = []
    for problems, seeds, drift in [(14, 3, -0.2), (16, 2, 0.1), (18, 5, -0.35)]:
        data = pairs(random, problems, seeds, drift)
        d = np.array([g - l for _, g, l in data])
        test = stats.permutation_test((d,), np.sum, permutation_type="samples", n_resamples=np.inf, alternative="two-sided")
        null = np.abs(test.null_distribution)
        exact = float((null >= abs(d.sum())).mean())
        assert math.isclose(exact, float(test.pvalue)) or d.sum() == 0
        mid = float((null > abs(d.sum())).mean() + (null == abs(d.sum())).mean() / 2)
        cases.append({"pairs": data, "exact": exact, "mid": mid})
    return cases


def mean_difference(random):
    """Benchmarks of different sizes, each weighted alike; all sign patterns, or their normal approximation."""
    cases = []
    for sizes, seeds, drift in [([7, 11], 2, -0.2), ([40, 90, 200], 3, -0.04)]:
        data = [pairs(random, n, seeds, drift) for n in sizes]
        parts = np.array([(g - l) / sum(n for n, _, _ in bench) for bench in data for _, g, l in bench if g != l])
        if len(parts) <= 16:
            signs = np.array(list(itertools.product([1, -1], repeat=len(parts))))
            sums = np.abs(signs @ parts)
            p = float((sums >= abs(parts.sum()) - 1e-12).mean())
        else:
            p = float(2 * stats.norm.sf(abs(parts.sum()) / math.sqrt((parts**2).sum())))
        cases.append({"benchmarks": data, "exact": len(parts) <= 16, "p": p})
    return cases


def bootstrap(random):
    """SciPy's bootstrap of the mean difference per problem; `error` is the standard deviation of a limit over 24 repeats of 10,000 resamples."""
    cases = []
    for problems, seeds, drift in [(60, 1, -0.12), (120, 3, -0.08), (300, 3, 0.02), (25, 2, -0.4)]:
        data = pairs(random, problems, seeds, drift)
        d = np.array([(g - l) / n for n, g, l in data])
        case = {"pairs": data}
        for method in ("percentile", "BCa"):
            ends = np.array(
                [
                    stats.bootstrap((d,), np.mean, method=method, n_resamples=10_000, random_state=np.random.default_rng(r)).confidence_interval
                    for r in range(24)
                ]
            )
            case[method.lower()] = {"low": float(ends[:, 0].mean()), "high": float(ends[:, 1].mean()), "error": [float(e) for e in ends.std(axis=0, ddof=1)]}
        cases.append(case)
    return cases


def holm_cases(random):
    lists = [[0.01, 0.04, 0.03, 0.005], [0.2], [0.5, 0.5, 0.01], [float(p) for p in random.random(30) ** 3]]
    return [{"p": p, "adjusted": [float(q) for q in multipletests(p, method="holm")[1]]} for p in lists]


def pass_at_k(random):
    cases = []
    for k, n in [(1, 3), (2, 4), (5, 16), (10, 200)]:
        scores = [[int(c), n] for c in random.integers(0, n + 1, 9)] + [[0, n], [n, n]]
        exact = [1 - Fraction(math.comb(n - c, k), math.comb(n, k)) for c, _ in scores]
        cases.append({"k": k, "scores": scores, "value": float(sum(exact) / len(exact))})
    return cases


def exact_power(n, gain, loss, level=0.05):
    """Of the mid-p McNemar test, summed over the number of discordant pairs and how they split."""
    total = 0.0
    discordant = gain + loss
    for m in range(0, n + 1):
        weight = stats.binom.pmf(m, n, discordant)
        if weight < 1e-12:
            continue
        k = np.arange(m + 1)
        low = np.minimum(k, m - k)
        p = 2 * stats.binom.cdf(low, m, 0.5) - stats.binom.pmf(low, m, 0.5)
        total += weight * stats.binom.pmf(k, m, gain / discordant)[p <= level].sum()
    return float(total)


def power():
    cases = []
    for difference, spread, level, wanted in [(0.05, 0.15, 0.05, 0.8), (0.02, 0.08, 0.05, 0.9), (-0.1, 0.3, 0.01, 0.8), (0.15, 0.15, 0.05, 0.8)]:
        reach = stats.norm.isf(level / 2) * math.sqrt(spread) + stats.norm.ppf(wanted) * math.sqrt(spread - difference**2)
        n = math.ceil((reach / abs(difference)) ** 2)
        case = {"difference": difference, "spread": spread, "level": level, "power": wanted, "problems": n}
        case["exactPower"] = exact_power(n, (spread + difference) / 2, (spread - difference) / 2, level)
        cases.append(case)
    return cases


def main():
    random = np.random.default_rng(SEED)
    fixtures = {
        "versions": {"scipy": scipy.__version__, "statsmodels": statsmodels.__version__, "numpy": np.__version__},
        "distributions": distributions(),
        "clustered": clustered(random),
        "wilson": wilson(),
        "paired": paired(random),
        "mcnemar": mcnemar_cases(),
        "clusteredMcNemar": clustered_mcnemar(random),
        "meanDifference": mean_difference(random),
        "bootstrap": bootstrap(random),
        "holm": holm_cases(random),
        "passAtK": pass_at_k(random),
        "power": power(),
    }
    target = pathlib.Path(__file__).parent / "fixtures" / "statistics.json"
    target.write_text(json.dumps(fixtures, separators=(",", ":")) + "\n")


main()
