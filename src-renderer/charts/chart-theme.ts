/** Colours that charts are drawn in, and the parts all of them share. */
import type { EChartsOption } from 'echarts';
import { isTrained, methodsTitle, quantizerOf } from '#contract/comparison.ts';
import type { ResultTone } from '#contract/sweep.ts';
import type { Verdict } from '#contract/worker.ts';

export interface ChartTheme {
  dark: boolean;
  text: string;
  textSoft: string;
  line: string;
  lineStrong: string;
  surface: string;
  accent: string;
  /** By quantization method. */
  methods: Record<string, string>;
  palette: string[];
  /** Grounds of results by how much of the baseline's accuracy is left. */
  tones: Record<ResultTone, string>;
  /** What completions came to. */
  verdicts: Record<Verdict, string>;
  font: string;
}

/** Symbols differ with the method too, so that colour is never the only sign. */
const methodSymbols: Record<string, string> = {
  none: 'diamond',
  rtn: 'triangle',
  gptq: 'circle',
  awq: 'rect',
  nf4: 'path://M0,0h20l-10,18z',
  int8: 'path://M7,0h6v7h7v6h-7v7h-6v-7h-7v-6h7z',
  quarot: 'path://M5,1h10l5,9l-5,9h-10l-5,-9z',
  flatquant: 'path://M10,0l6,10l-6,10l-6,-10z',
};

export interface SeriesStyle {
  color: string;
  symbol: string;
  /** Series that are trained or whose names add something to their method: drawn with a light ground and dashed. */
  isAddition: boolean;
}

/**
 * A method's own colour and symbol belong to its plain series; trained ones and those with an addition keep the symbol, and take a colour that
 * no method of the chart has while there are any.
 */
export function seriesStyles(series: readonly { name: string; method: string }[], theme: ChartTheme): Map<string, SeriesStyle> {
  const isAddition = ({ name, method }: { name: string; method: string }) => name !== methodsTitle(method) || isTrained(method);
  const used = new Set(series.filter((item) => !isAddition(item)).map(({ method }) => methodColor(theme, method)));
  const spare = theme.palette.filter((color) => !used.has(color));
  const take = (color: string) => {
    const index = spare.indexOf(color);
    return spare.splice(Math.max(0, index), 1)[0] ?? color;
  };
  return new Map(
    series.map((item) => {
      const own = methodColor(theme, item.method);
      const color = isAddition(item) ? take(own) : own;
      return [item.name, { color, symbol: methodSymbols[quantizerOf(item.method)] ?? 'circle', isAddition: isAddition(item) }];
    }),
  );
}

export function methodColor(theme: ChartTheme, method: string): string {
  const quantizer = quantizerOf(method);
  if (quantizer === 'none' && isTrained(method)) return theme.accent;
  return theme.methods[quantizer] ?? theme.accent;
}

export function baseOption(theme: ChartTheme): EChartsOption {
  return {
    animation: false,
    textStyle: { fontFamily: theme.font, color: theme.text, fontSize: 12 },
    tooltip: {
      renderMode: 'richText',
      backgroundColor: theme.surface,
      borderColor: theme.lineStrong,
      textStyle: { color: theme.text, fontFamily: theme.font, fontSize: 12 },
      confine: true,
    },
  };
}

export function axisStyle(theme: ChartTheme) {
  return {
    axisLine: { lineStyle: { color: theme.lineStrong } },
    axisTick: { lineStyle: { color: theme.lineStrong } },
    axisLabel: { color: theme.textSoft, fontFamily: theme.font },
    nameTextStyle: { color: theme.textSoft, fontFamily: theme.font },
    splitLine: { lineStyle: { color: theme.line } },
  };
}
