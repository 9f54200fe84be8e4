/** The processes that train one network together, seen from one of them. */
import type { Addon, JoinOptions, RanksHandle } from '../native/contract.js';
import { startJob } from '../native/job.js';
import { getAddon } from '../native/load.js';

export class Ranks implements Disposable {
  private constructor(
    readonly rank: number,
    readonly size: number,
    readonly handle: RanksHandle,
    private readonly addon: Addon,
  ) {}

  /** Waits until all are there. @throws ModeEnsembleError E_DEVICE, E_CONFIG */
  static async join(options: JoinOptions, addon: Addon = getAddon()): Promise<Ranks> {
    const { rank, size, handle } = await startJob((sink) => addon.joinRanks(options, sink)).done;
    return new Ranks(rank, size, handle, addon);
  }

  get leads(): boolean {
    return this.rank === 0;
  }

  /**
   * What rank 0 says; all ranks call it.
   *
   * @param value of rank 0: something that JSON can hold
   * @throws ModeEnsembleError E_DEVICE where another rank has ended
   */
  async share<T>(value?: T): Promise<T> {
    const text = JSON.stringify(value ?? null);
    return JSON.parse(await startJob((sink) => this.addon.shareText({ ranks: this.handle, text }, sink)).done);
  }

  [Symbol.dispose](): void {
    this.addon.leaveRanks(this.handle);
  }
}
