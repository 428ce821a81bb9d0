/** Colours that charts are drawn in, and the parts all of them share. */
import type { EChartsOption } from 'echarts';

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
  font: string;
}

/** Symbols differ with the method too, so that colour is never the only sign. */
const methodSymbols: Record<string, string> = { none: 'diamond', rtn: 'triangle', gptq: 'circle' };
const spareSymbols = ['rect', 'diamond', 'roundRect'];

export function methodSymbol(method: string, index: number): string {
  return methodSymbols[method] ?? spareSymbols[index % spareSymbols.length] ?? 'rect';
}

export function methodColor(theme: ChartTheme, method: string, index: number): string {
  return theme.methods[method] ?? theme.palette[(index + 2) % theme.palette.length] ?? theme.accent;
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
