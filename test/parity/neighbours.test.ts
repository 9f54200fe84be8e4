import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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

type Elements = Float32Array | Uint16Array;

/** A feature file of float32 numbers, or of float16 ones that are given as their bits. */
function write(name: string, rows: number, width: number, values: Elements): string {
  const dtype = values instanceof Uint16Array ? 'F16' : 'F32';
  const header = JSON.stringify({ f: { dtype, shape: [rows, width], data_offsets: [0, values.byteLength] } });
  const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const path = join(folder, name);
  const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  writeFileSync(path, Buffer.concat([length, Buffer.from(padded), bytes]));
  return path;
}

/** The bits of m / 64 as a float16 number, for whole m of up to 11 bits: exact. */
function halfBits(m: number): number {
  if (m === 0) return 0;
  const exponent = Math.floor(Math.log2(Math.abs(m)));
  return (m < 0 ? 0x8000 : 0) | ((exponent - 6 + 15) << 10) | ((Math.abs(m) / 2 ** exponent - 1) * 1024);
}

/** Mean over members, normalised, in float64. */
function fuse(members: readonly Float32Array[], width: number): Float64Array[] {
  return Array.from({ length: (members[0] as Float32Array).length / width }, (_, row) => {
    const mean = Float64Array.from({ length: width }, (_, d) => {
      return members.reduce((sum, member) => sum + (member[row * width + d] as number), 0) / members.length;
    });
    const norm = Math.sqrt(mean.reduce((sum, value) => sum + value * value, 0)) + 1e-10;
    return mean.map((value) => value / norm);
  });
}

/** By the definition, in float64: the squared distance of each query to the k-th nearest. */
function byDefinition(
  bank: readonly Float32Array[],
  queries: readonly Float32Array[],
  width: number,
  k: number,
  every = 1,
): number[] {
  const stored = fuse(bank, width);
  const asked = fuse(queries, width).filter((_, row) => row % every === 0);
  return asked.map((query) => {
    const distances = Float64Array.from(stored, (row) => {
      let sum = 0;
      for (let d = 0; d < width; d++) sum += ((row[d] as number) - (query[d] as number)) ** 2;
      return sum;
    });
    return distances.sort()[k - 1] as number;
  });
}

function search(
  bank: readonly Elements[],
  queries: readonly Elements[],
  width: number,
  k: number,
  threads = 2,
  memory = 1024,
) {
  const file = (kind: string) => (values: Elements, member: number) =>
    write(`${kind}-${member}`, values.length / width, width, values);
  const options = {
    bank: bank.map(file('bank')),
    queries: [queries.map(file('queries'))],
    tensor: 'f',
    k,
    threads,
    memory,
  };
  return getAddon().neighbours(options, quiet).done;
}

/** float32 features leave about 1e-7 of a distance of 1; `floor` is what that does to near neighbours. */
function assertNear(found: ArrayLike<number>, expected: readonly number[], every = 1, floor = 1e-12): void {
  for (const [i, value] of expected.entries()) {
    const mine = found[i * every] as number;
    assert.ok(Math.abs(mine - value) <= 1e-5 * value + floor, `row ${i * every}: expected ${value}, found ${mine}`);
  }
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
          memory: 1024,
        },
        quiet,
      ).done;
      assert.equal(result.distances.length, 2);
      for (const [s, set] of sets.entries()) {
        const found = result.distances[s] as Float32Array;
        assert.equal(found.length, queries);
        assertNear(found, byDefinition(bank, set, width, k));
      }
    });
  }

  it('of features of one number, which are 1, −1 or 0', async () => {
    const bank = Float32Array.of(3, 5, -2, 0);
    const { distances } = await search([bank], [Float32Array.of(7, -1, 0)], 1, 2);
    assert.deepEqual([...(distances[0] as Float32Array)], [0, 1, 1]);
  });

  it('of a bank of one row, and of no queries', async () => {
    const { distances } = await search([Float32Array.of(1, 0, 0)], [Float32Array.of(0, 1, 0)], 3, 1);
    assertNear(distances[0] as Float32Array, [2]);
    assert.equal((await search([Float32Array.of(1, 0, 0)], [new Float32Array(0)], 3, 1)).distances[0]?.length, 0);
  });

  it('as a flat index of faiss finds them, within 1e-4', async () => {
    const { rows, queries, width, members, cases } = JSON.parse(
      readFileSync('test/fixtures/neighbours.json', 'utf8'),
    ) as { rows: number; queries: number; width: number; members: number; cases: { k: number; squared: number[] }[] };
    const bank = Array.from({ length: members }, (_, m) => matrix(rows, width, 500 + m));
    const asked = Array.from({ length: members }, (_, m) => matrix(queries, width, 600 + m));
    for (const { k, squared } of cases) {
      const found = (await search(bank, asked, width, k)).distances[0] as Float32Array;
      assert.equal(squared.length, queries);
      for (const [i, value] of squared.entries()) {
        assert.ok(Math.abs((found[i] as number) - value) <= 1e-4 * value, `k = ${k}, row ${i}`);
      }
      const order = (values: ArrayLike<number>) =>
        Array.from(values, (_, i) => i).sort((a, b) => (values[a] as number) - (values[b] as number));
      const [mine, theirs] = [order(found), order(squared)];
      // The same ranking up to ties at that precision.
      for (const [place, row] of mine.entries()) {
        const there = squared[theirs[place] as number] as number;
        assert.ok(Math.abs((squared[row] as number) - there) <= 1e-4 * there, `k = ${k}, place ${place}`);
      }
    }
  });

  it('the same bits whatever the threads and whatever is asked together', async () => {
    const [bank, queries] = [matrix(3000, 40, 7), matrix(1100, 40, 8)];
    const all = (await search([bank], [queries], 40, 50, 1)).distances[0] as Float32Array;
    assertNear(all, byDefinition([bank], [queries], 40, 50, 100), 100);
    for (const threads of [2, 3, 7]) {
      assert.deepEqual((await search([bank], [queries], 40, 50, threads)).distances[0], all, `${threads} threads`);
    }
    const some = queries.slice(500 * 40, 517 * 40);
    assert.deepEqual((await search([bank], [some], 40, 50)).distances[0], all.slice(500, 517));
  });

  it('of float16 features, as of the same numbers in float32', async () => {
    const whole = Array.from(matrix(400, 12, 9), (value) => Math.round(value * 1000));
    const bank = Float32Array.from(whole, (m) => m / 64);
    const queries = matrix(50, 12, 10);
    const half = await search([Uint16Array.from(whole, halfBits), bank], [queries, queries], 12, 20);
    const single = await search([bank, bank], [queries, queries], 12, 20);
    assert.deepEqual(half.distances, single.distances);
    assertNear(half.distances[0] as Float32Array, byDefinition([bank], [queries], 12, 20));
  });

  it('of thousands of equal rows', async () => {
    // More than are kept as candidates at a time, 8 k + 4096: all are as far as the k-th.
    const [rows, width] = [9000, 16];
    const bank = matrix(rows, width, 11);
    const one = bank.slice(0, width);
    for (let row = 500; row < 8500; row++) bank.set(one, row * width);
    const queries = matrix(30, width, 12);
    queries.set(one, 5 * width);
    for (const k of [1, 50, 8100]) {
      const found = (await search([bank], [queries], width, k)).distances[0] as Float32Array;
      assertNear(found, byDefinition([bank], [queries], width, k), 1, 1e-9);
      if (k < 8000) assert.equal(found[5], 0);
    }
  });

  it('where the first rows that it looks at are not like the others', async () => {
    // It guesses from the rows so far how far neighbours are, and must notice when that was wrong. It looks at row i
    // in place i · step mod rows (spreading_step in native/linalg/neighbours.cc).
    const [rows, width, k] = [3201, 24, 50];
    const step = Math.floor(0.6180339887 * rows) | 1;
    const bank = matrix(rows, width, 13);
    const one = matrix(1, width, 14);
    const near = matrix(rows, width, 15);
    let moved = 0;
    for (let row = 0; row < rows; row++) {
      if ((row * step) % rows >= 40) continue;
      moved += 1;
      for (let d = 0; d < width; d++)
        bank[row * width + d] = (one[d] as number) + 1e-3 * (near[row * width + d] as number);
    }
    assert.equal(moved, 40);
    const queries = matrix(20, width, 16);
    queries.set(one, 0);
    const expected = byDefinition([bank], [queries], width, k);
    assert.ok((expected[0] as number) > 0.1);
    assertNear((await search([bank], [queries], width, k)).distances[0] as Float32Array, expected);
  });

  it('of features that lie near few dimensions, from sketches of them', async () => {
    const [rows, asked, width, rank, every] = [8000, 4000, 128, 12, 40];
    const directions = matrix(rank, width, 17);
    // Ten classes in `rank` dimensions, and a little of everything.
    const features = (count: number, seed: number) => {
      const [centres, within, noise] = [
        matrix(10, rank, 18),
        matrix(count, rank, seed),
        matrix(count, width, seed + 1),
      ];
      return Float32Array.from({ length: count * width }, (_, i) => {
        const row = Math.floor(i / width);
        let sum = 0.05 * (noise[i] as number);
        for (let r = 0; r < rank; r++) {
          const place = (centres[(row % 10) * rank + r] as number) + 0.5 * (within[row * rank + r] as number);
          sum += place * (directions[r * width + (i % width)] as number);
        }
        return sum;
      });
    };
    const [bank, queries] = [features(rows, 20), features(asked, 30)];
    // The bank's own rows too, of which the nearest is at 0.
    queries.set(bank.subarray(0, 10 * every * width));
    for (const k of [1, 50, 1000]) {
      const { distances, search: took } = await search([bank], [queries], width, k);
      assertNear(distances[0] as Float32Array, byDefinition([bank], [queries], width, k, every), every);
      assert.ok((took?.width as number) < width, `a sketch of ${took?.width} numbers`);
      assert.equal(took?.pairs, rows * asked);
      assert.ok((took?.passed as number) < 0.5 * rows * asked, `${took?.passed} pairs passed`);
    }
  });

  it('a training image is its own nearest neighbour, at distance 0', async () => {
    const path = write('self', 50, 8, matrix(50, 8, 1));
    const options = { bank: [path], queries: [[path]], tensor: 'f', k: 1, threads: 1, memory: 1 };
    const { distances } = await getAddon().neighbours(options, quiet).done;
    assert.deepEqual([...(distances[0] as Float32Array)], new Array(50).fill(0));
  });

  it('in as many parts of the bank as its memory asks for, with the same distances', async () => {
    const [rows, queries, width] = [6000, 300, 70];
    const bank = matrix(rows, width, 1);
    const asked = matrix(queries, width, 2);
    // The last is more than a part has.
    for (const k of [1, 50, 2500]) {
      const whole = (await search([bank], [asked], width, k)).distances[0] as Float32Array;
      // 1 MiB holds a third of them.
      const parts = (await search([bank], [asked], width, k, 2, 1)).distances[0] as Float32Array;
      assert.deepEqual(parts, whole);
      assertNear(parts, byDefinition([bank], [asked], width, k, 50), 50);
    }
  });

  it('says what is wrong with k and with the files', async () => {
    const path = write('small', 5, 8, matrix(5, 8, 1));
    const other = write('other', 5, 4, matrix(5, 4, 1));
    const empty = write('empty', 5, 0, new Float32Array(0));
    const run = (change: object) =>
      failure(
        getAddon().neighbours(
          { bank: [path], queries: [[path]], tensor: 'f', k: 1, threads: 1, memory: 1, ...change },
          quiet,
        ),
      );
    assert.match((await run({ k: 6 })).message, /^k: expected 1 to the number of training features, 5, found 6\.$/);
    assert.match((await run({ queries: [[other]] })).message, /width 8 as in the training set, found 4/);
    assert.match((await run({ memory: 0 })).message, /^memory: expected 1 to 16777216 MiB, found 0\.$/);
    assert.match((await run({ tensor: 'g' })).message, /expected a float32 or float16 tensor "g" \[N, D\], found none/);
    assert.equal((await run({ bank: ['/nowhere'] })).code, 'E_IO');
    assert.match(
      (await run({ bank: [empty], queries: [[empty]] })).message,
      /in "f" of width 1 to 65536, found rows of width 0/,
    );
    assert.match((await run({ queries: [[path, path]] })).message, /expected 1 feature files a set, found 2/);
    const two = { bank: [path, other], queries: [[path, path]] };
    assert.match((await run(two)).message, /other: expected "f" of the first member's shape, 5 × 8, found 5 × 4\.$/);
  });

  it('names the file and the row of a feature that is not finite', async () => {
    const good = matrix(30, 9, 1);
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const bad = Float32Array.from(good);
      bad[17 * 9 + 8] = value;
      bad[21 * 9] = value;
      const error = await failure({ done: search([good, bad], [good, good], 9, 1), abort: () => {} });
      assert.equal(error.code, 'E_DATA');
      assert.match(error.message, /bank-1: row 17 of "f" is not finite\.$/);
    }
    const large = new Float32Array(9).fill(3e38);
    const sum = await failure({ done: search([large, large], [large, large], 9, 1), abort: () => {} });
    assert.match(sum.message, /row 0 of "f": expected a sum over members within float32, found one beyond it\.$/);
    // Squares beyond float32 are no harm.
    assert.deepEqual([...((await search([large], [large], 9, 1)).distances[0] as Float32Array)], [0]);
  });

  it('ends when it is told to, and counts what it did', async () => {
    const [bank, queries] = [
      write('many', 20000, 64, matrix(20000, 64, 2)),
      write('asked', 20000, 64, matrix(20000, 64, 3)),
    ];
    const options = { bank: [bank], queries: [[queries], [queries]], tensor: 'f', k: 5, threads: 2, memory: 1024 };
    const counts: number[] = [];
    const whole = getAddon().neighbours(options, (event) => {
      if (event.type === 'progress') {
        assert.equal(event.phase, 'neighbours');
        assert.equal(event.total, 40000);
        counts.push(event.done);
      }
    });
    const { distances } = await whole.done;
    assert.deepEqual(distances[0], distances[1]);
    assert.equal(counts.at(-1), 40000);
    assert.deepEqual(
      counts,
      [...counts].sort((a, b) => a - b),
    );
    const job = getAddon().neighbours(options, (event) => {
      if (event.type === 'progress') job.abort();
    });
    assert.equal((await failure(job)).code, 'E_ABORTED');
  });
});
