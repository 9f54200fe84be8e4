/** On what share of each set's images the modes name the same class: how far they differ where no detector is asked. */
import { PLAIN } from '../features/index.js';
import { agreementOf } from '../metrics/index.js';
import { type FeatureSet, filesOf } from './open-sets.js';
import type { Agreement } from './types.js';

/**
 * Reads the stored predictions alone. Modes that tell another number of classes apart than the first are left out, and so are
 * files of before the plain pass had predictions.
 *
 * @param members names of all modes, in the order of the files
 * @returns one entry a set; none where fewer than two modes can be compared
 * @throws ModeEnsembleError E_DATA, E_IO
 */
export async function classAgreement(sets: readonly FeatureSet[], members: readonly string[]): Promise<Agreement[]> {
  const found: Agreement[] = [];
  for (const set of sets) {
    const files = filesOf(set, PLAIN);
    const classes = files[0]?.classes;
    const places = [...files.keys()].filter(
      (place) => files[place]?.classes === classes && files[place]?.shape('predictions') !== undefined,
    );
    if (places.length < 2) continue;
    const said = await Promise.all(places.map((place) => files[place]?.predictions() ?? new Int32Array(0)));
    found.push({ set: set.name, modes: places.map((place) => members[place] as string), share: agreementOf(said) });
  }
  return found;
}
