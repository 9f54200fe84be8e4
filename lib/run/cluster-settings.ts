import { type ClusterSettings, clusterSchema } from '../config/cluster.js';
import type { Experiment } from '../config/schema.js';

/** What an experiment says of a cluster, with the defaults where it says nothing. */
export function clusterOf({ cluster }: Pick<Experiment, 'cluster'>): ClusterSettings {
  return cluster ?? clusterSchema.parse({});
}
