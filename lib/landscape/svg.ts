/** Vega's drawings as SVG files that stand for themselves: dark on white, in papers, pages and reports. */
import type { Spec } from 'vega';
import type { TopLevelSpec } from 'vega-lite';

export const FONT = 'Helvetica, Arial, sans-serif';
export const INK = '#1b2430';
export const SOFT = '#5a6675';

const CONFIG = {
  background: '#ffffff',
  font: FONT,
  axis: {
    labelColor: INK,
    titleColor: INK,
    domainColor: SOFT,
    tickColor: SOFT,
    gridColor: '#e3e7ec',
    labelFontSize: 10,
    titleFontSize: 11,
    titleFontWeight: 'normal',
    labelFont: FONT,
    titleFont: FONT,
  },
  title: { font: FONT, fontSize: 12, color: INK },
  legend: { labelFont: FONT, titleFont: FONT, labelColor: INK, titleColor: INK, labelFontSize: 11 },
};

export async function drawLite(spec: object): Promise<string> {
  const { compile } = await import('vega-lite');
  return draw(compile({ ...spec, config: CONFIG } as unknown as TopLevelSpec).spec);
}

/** Vega is loaded only where something is drawn: it takes a good part of a second. */
export async function draw(spec: object): Promise<string> {
  const vega = await import('vega');
  const view = new vega.View(vega.parse({ config: CONFIG, ...spec } as unknown as Spec), { renderer: 'none' });
  try {
    return `${renumber(await view.toSVG())}\n`;
  } finally {
    view.finalize();
  }
}

/** Vega counts its clips over the life of the process; the same figure shall be the same bytes. */
function renumber(svg: string): string {
  const numbers = new Map<string, number>();
  return svg.replace(/\b(clip)(\d+)\b/g, (_, kind: string, number: string) => {
    if (!numbers.has(number)) numbers.set(number, numbers.size);
    return `${kind}${numbers.get(number)}`;
  });
}
