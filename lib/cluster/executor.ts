/** What executors do the steps of: tasks that need each other, known by their ids alone. */
import type { ErrorCode } from '../config/errors.js';

export interface Task {
  id: string;
  /** What is asked of a cluster may differ by kind. */
  kind: string;
  /** Ids of tasks that must be done before; all stand before it. */
  needs: readonly string[];
  /** Tasks of one group that are ready together are done in one go, where one process does them. */
  group?: string | undefined;
}

/** Where a task is. */
export interface Outlook {
  key: string | undefined;
  isDone: boolean;
}

/** Something that happened to a task. */
export interface TaskEvent {
  event: TaskEventName;
  step: string;
  /** SHA-256 of all that its result depends on. */
  key?: string | undefined;
  seconds?: number | undefined;
  time?: string | undefined;
  host?: string | undefined;
  pid?: number | undefined;
  /** Of a cluster, `<id>_<task>`. */
  job?: string | undefined;
  code?: string | undefined;
  message?: string | undefined;
  /** Of a task that was done elsewhere: what was entered. */
  from?: string | undefined;
}

export type TaskEventName =
  /** Work on it has begun. */
  | 'begin'
  /** Its result has been made. */
  | 'done'
  /** Its result was there already. */
  | 'found'
  | 'failed'
  /** What it needs is not there. */
  | 'blocked'
  /** It was told to stop; what it has done so far is kept. */
  | 'stopped'
  /** Handed in to a cluster. */
  | 'submitted';

/** Work for an executor. */
export interface Assignment<T extends Task = Task> {
  /** All tasks, each behind those that it needs. */
  tasks: readonly T[];
  /** Those that were done before. */
  done: ReadonlySet<string>;
  look(task: T): Promise<Outlook>;
  /** Does tasks of one group in this process. */
  perform(tasks: readonly T[]): Promise<void>;
  tell(event: TaskEvent): void;
  signal?: AbortSignal | undefined;
}

export interface Failure {
  step: string;
  /** E_INTERNAL: a fault of the program, or a process that was ended from outside. */
  code: ErrorCode | 'E_INTERNAL';
  message: string;
  /** What was thrown, where it was thrown here. */
  error?: unknown;
}

export interface Outcome {
  failed: Failure[];
  /** Ids of tasks that were not begun, as they need one that failed. */
  blocked: string[];
}
