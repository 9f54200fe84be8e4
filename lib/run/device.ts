/** Where the networks of a run compute. */
import { hasCode } from '../config/errors.js';
import type { Experiment } from '../config/schema.js';
import type { Addon } from '../native/contract.js';
import { resolveDevice } from '../native/device.js';
import { clusterOf } from './cluster-settings.js';

type DeviceSettings = Pick<Experiment, 'device' | 'cluster'>;

/**
 * What `auto` is where features are made: it is part of their keys, and so must come out the same wherever a step is looked at. On
 * a cluster it is a GPU where such steps ask for one, whatever the machine has that hands them in.
 */
function wantedForFeatures({ device, cluster }: DeviceSettings): string {
  const { executor, extract, gpus: ofAll = 0 } = clusterOf({ cluster });
  if (executor !== 'slurm' || device !== 'auto') return device;
  return (extract?.gpus ?? ofAll) > 0 ? 'cuda' : 'cpu';
}

/** The device on which features are made, in the addon's words. */
export function featureDevice(experiment: DeviceSettings, addon: Addon): string {
  const wanted = wantedForFeatures(experiment);
  try {
    return resolveDevice(wanted, { addon });
  } catch (error) {
    // A machine without a GPU may still look at what others do with theirs.
    if (clusterOf(experiment).executor === 'slurm' && hasCode(error, 'E_DEVICE')) return wanted;
    throw error;
  }
}

/** @throws ModeEnsembleError E_CONFIG, E_DEVICE where this machine is to compute and cannot */
export function checkDevice(experiment: DeviceSettings & { ranks?: number | undefined }, addon: Addon, where: string) {
  if (clusterOf(experiment).executor === 'slurm') return;
  const { device, ranks = 1 } = experiment;
  resolveDevice(device, { addon, where: `${where}: device`, local: { rank: 0, size: ranks } });
}
