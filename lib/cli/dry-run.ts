/** `run --dry-run`: the plan as text. */
import type { RunPlan, StepCost, StepPlan } from '../run/outlook.js';
import { duration } from './progress.js';
import { formatTable, size } from './table.js';

/** Steps of one kind and architecture. */
interface Row {
  kind: string;
  arch: string;
  steps: StepPlan[];
}

export function formatPlan({ run, sets, steps }: RunPlan): string {
  const data = sets.map(({ set, state, images, message = '' }) => [
    set,
    state,
    images > 0 ? images.toLocaleString('en-US') : '–',
    message,
  ]);
  const rows = grouped(steps);
  const table = rows.map(({ kind, arch, steps: own }) => {
    const left = own.filter(({ state }) => state !== 'there');
    const cost = sum(left);
    return [
      kind,
      arch,
      String(own.length),
      String(own.length - left.length),
      String(left.length),
      cost ? duration(cost.seconds) : '–',
      cost ? size(Math.round(cost.disk)) : '–',
      cost ? size(Math.round(cost.memory)) : '–',
    ];
  });
  const head = ['step', 'architecture', 'all', 'there', 'to do', 'time', 'disk', 'memory'];
  return [
    formatTable(['data', '', 'images', ''], data, [2]),
    formatTable(head, table, [2, 3, 4, 5, 6, 7]),
    ...notes(run, sets, steps),
  ].join('\n\n');
}

function notes(run: string, sets: RunPlan['sets'], steps: readonly StepPlan[]): string[] {
  const left = steps.filter(({ state }) => state !== 'there');
  const missing = sets.filter(({ state }) => state === 'missing').length;
  const stale = steps.filter(({ state }) => state === 'stale');
  const total = sum(left);
  const lines = [
    ...(missing > 0 ? [`Missing: ${missing} of ${sets.length} sets, see above.`] : []),
    ...(stale.length > 0
      ? [
          `Stale: ${stale.length} modes were trained with other settings (${stale[0]?.message}); --update trains them again.`,
        ]
      : []),
    ...(left.length === 0 ? ['Nothing is left to do.'] : []),
    ...(total
      ? [
          `In all about ${duration(total.seconds)} and ${size(Math.round(total.disk))} on the disk, one step after the other.`,
        ]
      : []),
    ...(total ? ['Time and memory are estimates from a few batches of noise on this machine.'] : []),
    `Run folder: ${run}`,
  ];
  return [lines.join('\n')];
}

function grouped(steps: readonly StepPlan[]): Row[] {
  const rows = new Map<string, Row>();
  for (const step of steps) {
    const id = `${step.kind} ${step.arch}`;
    const row = rows.get(id) ?? { kind: step.kind, arch: step.arch, steps: [] };
    row.steps.push(step);
    rows.set(id, row);
  }
  return [...rows.values()];
}

/** Undefined where nothing is known; memory is the most that one step takes. */
function sum(steps: readonly StepPlan[]): StepCost | undefined {
  const costs = steps.flatMap(({ cost }) => cost ?? []);
  if (costs.length === 0) return undefined;
  return {
    seconds: costs.reduce((all, { seconds }) => all + seconds, 0),
    disk: costs.reduce((all, { disk }) => all + disk, 0),
    memory: Math.max(...costs.map(({ memory }) => memory)),
  };
}
