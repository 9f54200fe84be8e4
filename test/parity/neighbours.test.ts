import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { getAddon } from '../../lib/native/load.js';
import { failure, quiet } from '../helpers/native.js';

const folder = mkdtempSync(join(tmpdir(), 'mode-ensemble-neighbours-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Numbers in [−1, 1) from a linear congruential generator (Numerical Recipes' constants). */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

function matrix(rows: number, width: number, seed: number): Float32Array {
  const next = random(seed);
  return Float32Array.from({ length: rows * width }, next);
}

function write(name: string, rows: number, width: number, values: Float32Array): string {
  const header = JSON.stringify({ f: { dtype: 'F32', shape: [rows, width], data_offsets: [0, rows * width * 4] } });
  const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat([length, Buffer.from(padded), Buffer.from(values.buffer)]));
  return path;
}

/** By the definition, in float64: mean over members, normalised, squared distance to the k-th nearest. */
function byDefinition(bank: Float32Array[], queries: Float32Array[], width: number, k: number): number[] {
  const fuse = (members: Float32Array[]) => {
    const rows = (members[0] as Float32Array).length / width;
    return Array.from({ length: rows }, (_, row) => {
      const mean = Array.from({ length: width }, (_, d) => {
        return members.reduce((sum, member) => sum + (member[row * width + d] as number), 0) / members.length;
      });
      const norm = Math.hypot(...mean) + 1e-10;
      return mean.map((value) => value / norm);
    });
  };
  const stored = fuse(bank);
  return fuse(queries).map((query) => {
    const distances = stored.map((row) => row.reduce((sum, value, d) => sum + (value - (query[d] as number)) ** 2, 0));
    return distances.sort((a, b) => a - b)[k - 1] as number;
  });
}

describe('k nearest neighbours', () => {
  for (const { members, rows, queries, width, k } of [
    { members: 1, rows: 300, queries: 70, width: 16, k: 1 },
    { members: 1, rows: 300, queries: 70, width: 16, k: 50 },
    { members: 3, rows: 257, queries: 33, width: 5, k: 50 },
    { members: 2, rows: 40, queries: 10, width: 128, k: 40 },
  ]) {
    it(`${members} members, ${rows} × ${width}, k = ${k}: as by definition, within 1e-5`, async () => {
      const bank = Array.from({ length: members }, (_, m) => matrix(rows, width, 100 + m));
      const sets = [200, 300].map((seed) =>
        Array.from({ length: members }, (_, m) => matrix(queries, width, seed + m)),
      );
      const result = await getAddon().neighbours(
        {
          bank: bank.map((values, m) => write(`bank-${m}`, rows, width, values)),
          queries: sets.map((set, s) => set.map((values, m) => write(`q-${s}-${m}`, queries, width, values))),
          tensor: 'f',
          k,
          threads: 2,
        },
        quiet,
      ).done;
      assert.equal(result.distances.length, 2);
      for (const [s, set] of sets.entries()) {
        const expected = byDefinition(bank, set, width, k);
        const found = result.distances[s] as Float32Array;
        assert.equal(found.length, queries);
        for (const [i, value] of expected.entries()) {
          assert.ok(Math.abs((found[i] as number) - value) <= 1e-5 * value + 1e-12, `set ${s}, row ${i}`);
        }
      }
    });
  }

  it('a training image is its own nearest neighbour, at distance 0', async () => {
    const path = write('self', 50, 8, matrix(50, 8, 1));
    const options = { bank: [path], queries: [[path]], tensor: 'f', k: 1, threads: 1 };
    const { distances } = await getAddon().neighbours(options, quiet).done;
    assert.deepEqual([...(distances[0] as Float32Array)], new Array(50).fill(0));
  });

  it('says what is wrong with k and with the files', async () => {
    const path = write('small', 5, 8, matrix(5, 8, 1));
    const other = write('other', 5, 4, matrix(5, 4, 1));
    const empty = write('empty', 5, 0, new Float32Array(0));
    const run = (change: object) =>
      failure(
        getAddon().neighbours({ bank: [path], queries: [[path]], tensor: 'f', k: 1, threads: 1, ...change }, quiet),
      );
    assert.match((await run({ k: 6 })).message, /^k: expected 1 to the number of training features, 5, found 6\.$/);
    assert.match((await run({ queries: [[other]] })).message, /width 8 as in the training set, found 4/);
    assert.match((await run({ tensor: 'g' })).message, /expected a float32 or float16 tensor "g" \[N, D\], found none/);
    assert.equal((await run({ bank: ['/nowhere'] })).code, 'E_IO');
    assert.match((await run({ bank: [empty], queries: [[empty]] })).message, /in "f", found rows of width 0/);
    assert.match((await run({ queries: [[path, path]] })).message, /expected 1 feature files a set, found 2/);
  });
});
