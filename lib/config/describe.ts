/** A value as an error's sentence shows it: short, and in the notation of the file it came from. */
export function describe(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : short(value, `a list of ${value.length}`);
  if (typeof value === 'object')
    return Object.keys(value).length === 0 ? 'an empty mapping' : short(value, 'a mapping');
  if (typeof value === 'number') return String(value);
  return short(value, String(value).slice(0, 60));
}

function short(value: unknown, otherwise: string): string {
  const text = JSON.stringify(value) ?? otherwise;
  return text.length <= 60 ? text : otherwise;
}

/** `['train', 'epochs']` → `train.epochs`, `['seeds', 1]` → `seeds[1]`. */
export function fieldPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`;
    return text === '' ? String(key) : `${text}.${String(key)}`;
  }, '');
}
