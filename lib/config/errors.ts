/**
 * Every failure a user can meet is a ModeEnsembleError: one sentence that names the file, field or byte, what was
 * expected and what was found, and a `code` that programs can switch on.
 */
export const ERROR_CODES = [
  'E_ADDON',
  'E_ABORTED',
  'E_CHECKPOINT',
  'E_CONFIG',
  'E_DATA',
  'E_DEVICE',
  'E_IO',
  'E_MEMORY',
  'E_NUMERIC',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

export class ModeEnsembleError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ModeEnsembleError';
    this.code = code;
  }
}

/** A setting, flag or experiment field that cannot be used. The command line exits 2 on it (usage), 1 on all others. */
export class ConfigError extends ModeEnsembleError {
  constructor(message: string, options?: ErrorOptions) {
    super('E_CONFIG', message, options);
    this.name = 'ConfigError';
  }
}

/** True for any error with this code, wherever it was made. */
export function hasCode(error: unknown, code: ErrorCode): boolean {
  return error instanceof Error && (error as { code?: unknown }).code === code;
}
