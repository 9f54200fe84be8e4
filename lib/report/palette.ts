/** The report's colours, by theme. `in` and `out` have a contrast of at least 4.5:1 with `page`; shapes and dashes tell them apart as well. */
export interface Palette {
  page: string;
  ink: string;
  soft: string;
  line: string;
  band: string;
  in: string;
  out: string;
}

export const LIGHT: Palette = {
  page: '#ffffff',
  ink: '#1b2430',
  soft: '#5a6675',
  line: '#d5dbe3',
  band: '#f3f6f9',
  in: '#1c6cab',
  out: '#b8470f',
};

export const DARK: Palette = {
  page: '#14191f',
  ink: '#e6eaef',
  soft: '#a3aebb',
  line: '#36404b',
  band: '#1d242c',
  in: '#6db3ea',
  out: '#f09a60',
};

export const PAPER: Palette = { ...LIGHT, ink: '#000000', soft: '#444444', line: '#bbbbbb', band: '#eeeeee' };

/** As custom properties of CSS. */
export function variables(palette: Palette): string {
  return Object.entries(palette)
    .map(([name, colour]) => `--${name}: ${colour};`)
    .join(' ');
}

/** A chart of the page as a picture of its own: programs that draw SVG files know neither the page's colours nor its ground. */
export function standalone(svg: string): string {
  const coloured = svg
    .replace(/="var\(--(\w+)\)"/g, (whole, name: string) =>
      Object.hasOwn(LIGHT, name) ? `="${LIGHT[name as keyof Palette]}"` : whole,
    )
    .replaceAll('="currentColor"', `="${LIGHT.ink}"`);
  return coloured.replace(/^(<svg[^>]*>)/, `$1<rect width="100%" height="100%" fill="${LIGHT.page}"/>`);
}
