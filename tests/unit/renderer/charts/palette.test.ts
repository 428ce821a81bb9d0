/** Colours of methods are told apart on both grounds, by people who see red and green alike too, and are the same in the report. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { quantizationMethods } from '#contract/recipe.ts';
import { reportStyle } from '../../../../src-main/reports/html-style.ts';

const names = ['baseline', ...quantizationMethods];
const sheet = readFileSync(new URL('../../../../src-renderer/styles/tokens.css', import.meta.url), 'utf8');
const [light = '', dark = ''] = sheet.split('html.dark {');
const token = (text: string, name: string) => new RegExp(`--${name}: (#[0-9a-f]{6});`).exec(text)![1]!;

type Colour = [number, number, number];
const linear = (hex: string): Colour =>
  [1, 3, 5].map((at) => {
    const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  }) as Colour;
/** OKLab (Ottosson 2020). */
const lab = ([r, g, b]: Colour): Colour => {
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
};
/** Machado et al. 2009, severity 1. */
const visions: Record<string, Colour[]> = {
  normal: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
};
const seen = (matrix: Colour[], colour: Colour) =>
  matrix.map((line) =>
    Math.max(
      0,
      line.reduce((sum, value, at) => sum + value * colour[at]!, 0),
    ),
  ) as Colour;
const luminance = ([r, g, b]: Colour) => 0.2126 * r + 0.7152 * g + 0.0722 * b;
const contrast = (a: string, b: string) => {
  const [low, high] = [luminance(linear(a)), luminance(linear(b))].sort((x, y) => x - y) as [number, number];
  return (high + 0.05) / (low + 0.05);
};

describe.each([
  ['light', light],
  ['dark', dark],
])('the %s palette', (theme, text) => {
  const colours = names.map((name) => token(text, `series-${name}`));

  it('keeps every two methods apart', () => {
    for (const [vision, matrix] of Object.entries(visions)) {
      const points = colours.map((colour) => lab(seen(matrix, linear(colour))));
      const least = vision === 'normal' ? 0.12 : 0.05;
      for (const [i, a] of points.entries())
        for (const [j, b] of points.entries())
          if (i < j)
            expect(Math.hypot(...a.map((value, at) => value - b[at]!)), `${names[i]} and ${names[j]}, ${vision}`).toBeGreaterThan(least);
    }
  });

  it('stands out from its ground, and so does text on the grounds of results', () => {
    for (const colour of colours) expect(contrast(colour, token(text, 'surface'))).toBeGreaterThan(3);
    for (const tone of ['better', 'even', 'loss-1', 'loss-2', 'loss-3', 'loss-4'])
      expect(contrast(token(text, 'ink'), token(text, `tone-${tone}`)), tone).toBeGreaterThan(4.5);
  });

  it('is the one of the report', () => {
    const block = theme === 'light' ? /:root\{color-scheme:light dark;([^}]*)\}/ : /prefers-color-scheme:dark\)\{:root\{([^}]*)\}/;
    const report = block.exec(reportStyle)![1]!;
    expect(colours.map((_, index) => token(report, `s${index}`))).toEqual(colours);
  });
});
