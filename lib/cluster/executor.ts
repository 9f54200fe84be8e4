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
  event: 'begin' | 'done' | 'found' | 'failed' | 'blocked' | 'stopped' | 'submitted';
  step: string;
  key?: string | undefined;
  seconds?: number | undefined;
  time?: string | undefined;
  host?: string | undefined;
  pid?: number | undefined;
  job?: string | undefined;
  code?: string | undefined;
  message?: string | undefined;
  from?: string | undefined;
}

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
