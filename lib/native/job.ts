import { ERROR_CODES, type ErrorCode, ModeEnsembleError } from '../config/errors.js';
import type { EpochEvent, JobEvent, LogEvent, NativeJob, PointEvent, ProgressEvent, StepEvent } from './contract.js';

export interface JobHooks {
  signal?: AbortSignal | undefined;
  onProgress?: ((event: ProgressEvent) => void) | undefined;
  onStep?: ((event: StepEvent) => void) | undefined;
  onEpoch?: ((event: EpochEvent) => void) | undefined;
  onPoint?: ((event: PointEvent) => void) | undefined;
  onLog?: ((event: LogEvent) => void) | undefined;
}

/** Work that goes on on a native thread; the event loop stays free. */
export interface Job<Result> {
  readonly done: Promise<Result>;
  /** Stops the job within one batch; `done` then rejects with E_ABORTED. Harmless when it has ended. */
  abort(): void;
}

/**
 * Starts a native job and ties it to an AbortSignal and to listeners. The rejection carries the stack of the caller
 * (`at`), not the empty one of a native thread.
 */
export function startJob<Result>(
  start: (sink: (event: JobEvent) => void) => NativeJob<Result>,
  hooks: JobHooks = {},
): Job<Result> {
  const at = new Error();
  const { signal } = hooks;
  if (signal?.aborted) {
    return { done: Promise.reject(abortedError(at)), abort() {} };
  }
  let native: NativeJob<Result>;
  try {
    native = start((event) => {
      if (event.type === 'progress') hooks.onProgress?.(event);
      else if (event.type === 'step') hooks.onStep?.(event);
      else if (event.type === 'epoch') hooks.onEpoch?.(event);
      else if (event.type === 'point') hooks.onPoint?.(event);
      else hooks.onLog?.(event);
    });
  } catch (error) {
    throw graft(error, at);
  }
  const abort = () => native.abort();
  signal?.addEventListener('abort', abort, { once: true });
  const done = native.done
    .catch((error: unknown) => {
      throw graft(error, at);
    })
    .finally(() => signal?.removeEventListener('abort', abort));
  return { done, abort };
}

function abortedError(at: Error): ModeEnsembleError {
  return withStack(new ModeEnsembleError('E_ABORTED', 'The job was stopped before it began.'), at);
}

/** A native error as one of our classes, with the JavaScript stack of the call that led to it. */
function graft(error: unknown, at: Error): unknown {
  if (!(error instanceof Error)) return error;
  const code = (error as { code?: unknown }).code;
  if (!ERROR_CODES.includes(code as ErrorCode)) return error;
  return withStack(new ModeEnsembleError(code as ErrorCode, error.message), at);
}

function withStack(error: ModeEnsembleError, at: Error): ModeEnsembleError {
  const frames = (at.stack ?? '').split('\n').slice(1).join('\n');
  error.stack = `${error.name}: ${error.message}\n${frames}`;
  return error;
}
