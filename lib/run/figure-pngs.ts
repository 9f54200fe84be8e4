/** Pictures for programs that do not take SVG. */
import { ModeEnsembleError } from '../config/errors.js';

/** Pixels of a PNG for one of the SVG's own: sharp in print at a column's width. */
const SCALE = 2;
/** What is most often there where Arial and Helvetica are not; without it, any font of the machine. */
const FONT = { sansSerifFamily: 'DejaVu Sans', defaultFontFamily: 'DejaVu Sans' };
/** The longest side of a PNG, in pixels: 400 MB while it is drawn. */
const MOST_PIXELS = 10_000;

/**
 * An SVG file as a PNG on white, at twice its size or as much as 10,000 pixels allow. Text is set in the machine's own fonts.
 *
 * @throws ModeEnsembleError E_DATA where it is no SVG
 */
export async function pngOf(svg: string | Uint8Array, path: string): Promise<Uint8Array> {
  const { Resvg } = await import('@resvg/resvg-js');
  try {
    const text = Buffer.from(svg).toString('utf8');
    const size = new Resvg(text, { font: { loadSystemFonts: false } });
    const zoom = Math.min(SCALE, MOST_PIXELS / Math.max(size.width, size.height));
    return new Resvg(text, { background: 'white', font: FONT, fitTo: { mode: 'zoom', value: zoom } }).render().asPng();
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    throw new ModeEnsembleError('E_DATA', `${path}: expected an SVG picture, found what cannot be drawn (${said}).`, {
      cause: error,
    });
  }
}
