/** Where the logits of each mode and ensemble are read from. */
import { ConfigError } from '../config/errors.js';
import type { Services } from '../detectors/index.js';
import { FeatureFile, type Pass, PLAIN, perturbed } from '../features/index.js';
import { type FeatureSet, filesOf, requireSameImages } from './open-sets.js';
import type { RowSource } from './score-rows.js';

/** Some of the subsets, and files that hold the logits of their members. */
export interface SourceGroup extends Omit<RowSource, 'fuse'> {
  /** Which of all subsets these are. */
  indices: number[];
}

interface Members {
  members: readonly string[];
  /** Places of the members in the input. */
  places: readonly number[];
}

/**
 * The same files serve a mode in every ensemble, unless its pass depends on the modes before it: the sum of gradients that
 * perturbs an image is another one in each ensemble.
 */
export class RowSources {
  /** For each ensemble by its members, for each set, the files of all members. */
  private readonly found = new Map<string, Promise<FeatureFile[][]>>();

  constructor(
    private readonly sets: readonly FeatureSet[],
    private readonly subsets: readonly Members[],
    private readonly services: Services,
  ) {}

  /** @throws ModeEnsembleError E_CONFIG, E_DATA, E_IO, and what making the files throws */
  async *of(setIndex: number, pass: Pass): AsyncGenerator<SourceGroup> {
    const { subsets } = this;
    const set = this.sets[setIndex] as FeatureSet;
    const plain = filesOf(set, PLAIN);
    const group = (indices: number[], logits: readonly FeatureFile[]): SourceGroup => {
      const places = indices.map((index) => (subsets[index] as Members).places);
      return { name: set.name, logits, plain, subsets: places, indices };
    };
    if (!isAccumulated(pass)) return yield group([...subsets.keys()], filesOf(set, pass));
    // What a mode adds up by itself is its own gradient.
    const own = filesOf(set, ownOf(pass));
    const isSingle = (index: number) => subsets[index]?.places.length === 1;
    yield group([...subsets.keys()].filter(isSingle), own);
    for (const [index, { places }] of subsets.entries()) {
      if (isSingle(index)) continue;
      const files = (await this.together(subsets[index] as Members, pass))[setIndex] as FeatureFile[];
      const pick = (of: readonly FeatureFile[]) => places.map((place) => of[place] as FeatureFile);
      yield { name: set.name, logits: files, plain: pick(plain), subsets: [[...places.keys()]], indices: [index] };
    }
  }

  private together({ members, places }: Members, pass: Pass): Promise<FeatureFile[][]> {
    const key = JSON.stringify([members, pass]);
    const open = async () => {
      const { together } = this.services;
      if (!together) {
        throw new ConfigError(
          `gradient: accumulated: the ensemble ${members.join('+')} needs its modes' networks, since a mode's gradient is ` +
            'added to those of the modes before it; there are feature files alone.',
        );
      }
      const paths = await together(members, pass);
      return Promise.all(
        this.sets.map(async (set, index) => {
          const first = filesOf(set, ownOf(pass))[places[0] as number] as FeatureFile;
          const others = await Promise.all((paths[index] as readonly string[]).map((path) => FeatureFile.open(path)));
          await requireSameImages(set.name, [first, ...others]);
          return [first, ...others];
        }),
      );
    };
    const found = this.found.get(key) ?? open();
    this.found.set(key, found);
    return found;
  }
}

function isAccumulated({ kind, gradient }: Pass): boolean {
  return kind === 'perturbed' && gradient === 'accumulated';
}

function ownOf({ temperature, magnitude }: Pass): Pass {
  return perturbed(temperature, magnitude, 'own');
}
