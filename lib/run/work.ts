/** What the steps of a run share: the sets, the modes that are there, their feature files. */
import { existsSync } from 'node:fs';
import type { DataSet } from '../data/open.js';
import { warn } from '../data/suite.js';
import { type Pass, PLAIN, passId } from '../features/pass.js';
import { FeatureStore } from '../features/store.js';
import { openCheckpoints } from '../modes/checkpoints.js';
import { checkpointIn, weightsHash } from '../modes/find.js';
import { findGiven } from '../modes/given.js';
import { lookAtMode, type ModeOutlook, type TrainModeSettings } from '../modes/train.js';
import { keepBetweenJobs } from '../native/between-jobs.js';
import type { Addon } from '../native/contract.js';
import { featureDevice } from './device.js';
import { needsTrainFeatures, type Plan, passesOf } from './experiment.js';
import { type ExtractedMember, type ExtractSettings, lookUp, type StageHooks, type Wanted } from './extract.js';
import type { RunFolder } from './folder.js';
import type { SetPlace } from './graph.js';
import { networksOf, type StoredNetworks } from './networks.js';
import { openRunSets, type RunSets, setAt } from './run-sets.js';
import { keepWarnings } from './sets.js';
import type { Evaluation, MemberFeatures, PassFiles } from './types.js';

export interface WorkSettings {
  models: readonly Plan[];
  folder: RunFolder;
  addon: Addon;
  hooks: StageHooks;
  /** Where the scores go, if they are wanted. */
  scores?: string | undefined;
}

export class Work implements Disposable {
  /** Feature files made now, and those that were there. */
  readonly features = { made: 0, reused: 0 };
  /** Trained now: `<arch id> <seed>`. */
  readonly trained = new Set<string>();
  readonly evaluations = new Map<number, Evaluation>();
  readonly store: FeatureStore;
  private foundDevice: string | undefined;
  private kept: Disposable | undefined;
  private readonly hashes = new Map<string, Promise<string>>();
  private readonly members = new Map<string, Promise<ExtractedMember>>();
  private readonly files = new Map<string, Wanted[]>();

  private constructor(
    readonly settings: WorkSettings,
    readonly sets: RunSets,
    /** What opening the sets has warned of. */
    readonly warnings: readonly string[],
  ) {
    this.store = new FeatureStore(settings.folder.features);
  }

  /** @throws ModeEnsembleError E_DATA, E_CONFIG, E_ABORTED where a set cannot be opened */
  static async open(settings: WorkSettings): Promise<Work> {
    const { hooks, warnings } = keepWarnings(settings.hooks);
    const sets = await openRunSets(settings.models[0] as Plan, settings.addon, hooks);
    return new Work(settings, sets, warnings);
  }

  get hooks(): StageHooks {
    return this.settings.hooks;
  }

  get addon(): Addon {
    return this.settings.addon;
  }

  /** Where features are made. */
  get device(): string {
    this.foundDevice ??= featureDevice(this.plan(0).experiment, this.addon);
    return this.foundDevice;
  }

  get folder(): RunFolder {
    return this.settings.folder;
  }

  plan(model: number): Plan {
    return this.settings.models[model] as Plan;
  }

  /** Where the results of an architecture go. */
  place(model: number): string {
    return this.settings.models.length === 1 ? this.folder.path : this.folder.arch(this.plan(model).arch.id);
  }

  set(place: SetPlace): DataSet {
    return setAt(this.sets, place);
  }

  /** The passes over a set. */
  passes(model: number, { part }: SetPlace): Pass[] {
    return part === 'train' ? [PLAIN] : passesOf(this.plan(model).detectors);
  }

  /** How a mode is trained. */
  training(model: number, seed: number): Omit<TrainModeSettings, 'ranks'> {
    const { arch, transform, experiment } = this.plan(model);
    const { train: settings, threads, workers } = experiment;
    const { train, test } = this.sets;
    const place = { folder: this.folder.mode(arch.id, seed), transform, addon: this.addon };
    return { arch, seed, train, test, settings, threads, workers, ...place };
  }

  /** What there is of a mode that this run trains. @throws ConfigError where there is one with other settings */
  outlook(model: number, seed: number): Promise<ModeOutlook> {
    return lookAtMode(this.training(model, seed), this.plan(model).experiment.ranks ?? 1);
  }

  /** The checkpoint that somebody else has trained, where there is one and this run has none of its own. */
  given(model: number, seed: number): string | undefined {
    const { experiment, arch } = this.plan(model);
    const { checkpoints: pattern, root } = experiment;
    if (pattern === undefined || existsSync(checkpointIn(this.folder.mode(arch.id, seed)))) return undefined;
    return findGiven({ pattern, arch: experiment.arch, seed, root });
  }

  /** A mode that is there; undefined where it is not. @throws ModeEnsembleError E_CHECKPOINT where it does not fit */
  async member(model: number, seed: number): Promise<ExtractedMember | undefined> {
    const given = this.given(model, seed);
    const own = checkpointIn(this.folder.mode(this.plan(model).arch.id, seed));
    const checkpoint = given ?? (existsSync(own) ? own : undefined);
    if (checkpoint === undefined) return undefined;
    const known = this.members.get(checkpoint);
    if (known) return known;
    const opened = given === undefined ? this.ownMember(model, seed, own) : this.givenMember(model, seed, given);
    this.members.set(checkpoint, opened);
    // What cannot be opened now may be whole later.
    opened.catch(() => this.members.delete(checkpoint));
    return opened;
  }

  private async ownMember(model: number, seed: number, checkpoint: string): Promise<ExtractedMember> {
    const { arch, transform } = this.plan(model);
    const classes = this.sets.train.classes.length;
    return { name: String(seed), checkpoint, weightsHash: await this.hash(checkpoint), arch, transform, classes };
  }

  private async givenMember(model: number, seed: number, checkpoint: string): Promise<ExtractedMember> {
    const { experiment, arch, transform } = this.plan(model);
    const settings = { arch: arch.id, transform: experiment.transform, addon: this.addon, hooks: this.hooks };
    const { members } = await openCheckpoints([checkpoint], settings);
    const [found] = members as [(typeof members)[number]];
    const classes = found.classes ?? this.sets.train.classes.length;
    const own = experiment.transform === undefined ? found.transform : transform;
    return { name: String(seed), checkpoint, weightsHash: found.weightsHash, arch, transform: own, classes };
  }

  private hash(checkpoint: string): Promise<string> {
    const known = this.hashes.get(checkpoint) ?? weightsHash(checkpoint, this.hooks.signal);
    this.hashes.set(checkpoint, known);
    known.catch(() => this.hashes.delete(checkpoint));
    return known;
  }

  /** Of those that are there, in the order of the seeds. */
  async membersThere(model: number): Promise<ExtractedMember[]> {
    const found: ExtractedMember[] = [];
    for (const seed of this.plan(model).experiment.seeds) {
      const member = await this.member(model, seed);
      if (member) found.push(member);
    }
    return found;
  }

  /** How features are made, of these modes. */
  extraction(model: number, members: readonly ExtractedMember[]): ExtractSettings {
    const { experiment, detectors } = this.plan(model);
    const { threads, workers, modesAtOnce, evaluate } = experiment;
    const { batchSize, precision, storage } = evaluate;
    const { train, test, out } = this.sets;
    return {
      members,
      sets: { train: needsTrainFeatures(detectors) ? train : undefined, test, out },
      passes: passesOf(detectors),
      store: this.store,
      batchSize,
      precision,
      storage,
      device: this.device,
      threads,
      workers,
      modesAtOnce,
      addon: this.addon,
    };
  }

  /** The feature files of a mode and a set, there or not; undefined where the mode is not there. */
  async filesOf(model: number, seed: number, place: SetPlace): Promise<Wanted[] | undefined> {
    const member = await this.member(model, seed);
    if (!member) return undefined;
    const id = JSON.stringify([model, member.weightsHash, place]);
    const known = this.files.get(id);
    if (known) return known;
    const settings = this.extraction(model, [member]);
    const found: Wanted[] = [];
    for (const pass of this.passes(model, place)) {
      found.push(await lookUp(settings, this.set(place), member, { pass }, this.hooks));
    }
    // A file that is there stays.
    if (found.every(({ isThere }) => isThere)) this.files.set(id, found);
    return found;
  }

  /** The files of a mode and a set, by pass; undefined where one is missing. */
  async passFiles(model: number, seed: number, place: SetPlace): Promise<PassFiles | undefined> {
    const found = await this.filesOf(model, seed, place);
    if (!found?.every(({ isThere }) => isThere)) return undefined;
    return Object.fromEntries(found.map(({ pass, path }) => [passId(pass), path]));
  }

  /** Everything that an evaluation reads of these modes; undefined where something is missing. */
  async memberFeatures(model: number, seeds: readonly number[]): Promise<MemberFeatures[] | undefined> {
    const { arch, sets, detectors } = this.plan(model);
    const { name } = sets.in.spec;
    const all: MemberFeatures[] = [];
    for (const seed of seeds) {
      const test = await this.passFiles(model, seed, { part: 'test', name });
      if (!test) return undefined;
      const train = needsTrainFeatures(detectors)
        ? await this.passFiles(model, seed, { part: 'train', name })
        : undefined;
      if (needsTrainFeatures(detectors) && !train) return undefined;
      const out: Record<string, PassFiles> = {};
      for (const { spec } of sets.out) {
        const files = await this.passFiles(model, seed, { part: 'out', name: spec.name });
        if (!files) return undefined;
        out[spec.name] = files;
      }
      all.push({ name: String(seed), arch: arch.id, train, test, out });
    }
    return all;
  }

  /** The networks of the modes that are there. */
  async networks(model: number, hooks: Pick<StageHooks, 'onLog'> = this.hooks): Promise<StoredNetworks> {
    return networksOf(this.extraction(model, await this.membersThere(model)), hooks);
  }

  /** Whether networks stay for the next step, as those of extraction ask for the same. */
  keepNetworks(on: boolean): void {
    if (on) {
      this.kept ??= keepBetweenJobs(this.addon);
    } else {
      this.kept?.[Symbol.dispose]();
      this.kept = undefined;
    }
  }

  warn(message: string): void {
    warn(message, this.hooks);
  }

  [Symbol.dispose](): void {
    this.keepNetworks(false);
    this.sets[Symbol.dispose]();
  }
}
