/** Which device a job computes on. */
import { describe } from '../config/describe.js';
import { ConfigError, ModeEnsembleError } from '../config/errors.js';
import type { Addon } from './contract.js';
import { getAddon } from './load.js';

export interface DeviceSettings {
  addon?: Pick<Addon, 'info'> | undefined;
  /** Of a process that trains together with others: its place among those on this machine, and how many these are. */
  local?: { rank: number; size: number } | undefined;
  /** What the setting is called, for errors. */
  where?: string | undefined;
}

/**
 * The device in the addon's words. `auto`: a GPU where one can be used, else the CPU; `cuda`: a GPU. Each process of several on
 * one machine takes a GPU of its own, by its place among them; where the launcher shows it but one, it takes that.
 *
 * @param wanted `auto`, `cpu`, `cuda` or `cuda:N`
 * @throws ModeEnsembleError E_CONFIG for anything else, E_DEVICE where there is no such GPU
 */
export function resolveDevice(wanted: string, settings: DeviceSettings = {}): string {
  const { addon = getAddon(), local, where = 'device' } = settings;
  const numbered = /^cuda:\d{1,3}$/.test(wanted);
  if (!numbered && wanted !== 'auto' && wanted !== 'cpu' && wanted !== 'cuda') {
    throw new ConfigError(`${where}: expected auto, cpu, cuda or cuda:N, found ${describe(wanted)}`);
  }
  if (wanted === 'cpu') return wanted;
  const { devices, cuda } = addon.info();
  const gpus = devices.filter((device) => device.startsWith('cuda:'));
  if (gpus.length === 0) {
    if (wanted === 'auto') return 'cpu';
    const why = cuda ? 'no GPU is seen here' : 'this addon was built with a LibTorch without CUDA';
    throw new ModeEnsembleError('E_DEVICE', `${where}: expected cpu, since ${why}, found ${wanted}`);
  }
  if (numbered && local && local.size > 1) {
    const advice = 'cuda gives each of them one of its own';
    throw new ConfigError(`${where}: expected auto, cpu or cuda for ${local.size} ranks, found ${wanted}; ${advice}`);
  }
  const device = numbered ? wanted : `cuda:${gpus.length === 1 ? 0 : (local?.rank ?? 0)}`;
  if (gpus.includes(device)) return device;
  const who = numbered ? '' : ` for rank ${local?.rank} of this machine`;
  throw new ModeEnsembleError('E_DEVICE', `${where}: expected one of ${gpus.join(', ')}${who}, found ${device}`);
}

/** What of a device belongs to the key of numbers that were computed on it: sums are rounded otherwise on a GPU. */
export function deviceInKey(device: string | undefined): { device?: 'cuda' } {
  return device?.startsWith('cuda') ? { device: 'cuda' } : {};
}
