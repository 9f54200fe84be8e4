/** The job that reads every image of a set. */
import assert from 'node:assert/strict';
import {
  closeSync,
  linkSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import type { OpenDataResult, ProgressEvent } from '../../lib/native/contract.js';
import { startJob } from '../../lib/native/job.js';
import { getAddon } from '../../lib/native/load.js';
import { fresh, jpegBomb, openSet, plant, png } from '../helpers/image-sets.js';
import { open, quiet } from '../helpers/native.js';

describe('verifyData', () => {
  const verify = (data: OpenDataResult, threads: number) =>
    getAddon().verifyData({ data: data.handle, threads }, quiet).done;

  const photo = readFileSync('test/fixtures/images/rgb-444.jpg');
  const root = plant(fresh(), ['a/1.png', 'a/3.png']);
  writeFileSync(join(root, 'a', '2-named-png.png'), photo);
  writeFileSync(join(root, 'a', '4-cut.jpg'), photo.subarray(0, photo.length >> 1));
  writeFileSync(join(root, 'b-empty.jpg'), '');
  writeFileSync(join(root, 'c-text.jpg'), 'not an image');
  writeFileSync(join(root, 'd-bomb.png'), png(0, 2, 2, [30_000, 30_000]));
  writeFileSync(join(root, 'e-bomb.jpg'), jpegBomb(30_000, 30_000));
  symlinkSync('nowhere', join(root, 'f-gone.jpg'));

  it('lists what is bad, in data-set order, each with a sentence that names it', async () => {
    const data = await openSet('folder', root);
    const results = [];
    for (const threads of [1, 2, 5]) results.push(await verify(data, threads));
    for (const result of results) {
      assert.ok(result.seconds > 0);
      assert.deepEqual({ ...result, seconds: 0 }, { ...results[0], seconds: 0 });
      assert.deepEqual([result.count, result.badCount], [9, 6]);
      for (const { name, reason } of result.bad) {
        assert.ok(reason.includes(name), reason);
        assert.match(reason, /^[^\n]+\.$/);
      }
      const expected: [string, RegExp][] = [
        ['b-empty.jpg', /expected a JPEG or PNG image, found an empty file\.$/],
        ['c-text.jpg', /found a file of 12 bytes that begins with 6E 6F 74 20 61 6E 20 69\.$/],
        ['d-bomb.png', /at most 178,956,970 pixels, found 30000 x 30000 pixels\.$/],
        ['e-bomb.jpg', /at most 178,956,970 pixels, found 30000 x 30000 pixels\.$/],
        ['f-gone.jpg', /there is no such file\.$/],
        ['a/4-cut.jpg', /4-cut\.jpg: /],
      ];
      assert.deepEqual(
        result.bad.map(({ name }) => name.slice(root.length + 1)),
        expected.map(([name]) => name),
      );
      for (const [i, [, sentence]] of expected.entries()) assert.match(result.bad[i]?.reason ?? '', sentence);
    }
    const sizes = readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => statSync(join(entry.parentPath, entry.name)).size);
    assert.equal(
      results[0]?.bytes,
      sizes.reduce((a, b) => a + b, 0),
    );
  });

  it('goes on after a bad image between good ones of one size', async () => {
    const folder = plant(fresh(), ['1.png', '3.png', '5.png']);
    const cut = png(9);
    writeFileSync(join(folder, '2.png'), cut.subarray(0, cut.length - 20));
    writeFileSync(join(folder, '4.jpg'), photo.subarray(0, photo.length >> 1));
    for (const name of ['0.jpg', '6.jpg']) writeFileSync(join(folder, name), photo);
    const { bad, minWidth, maxWidth } = await verify(await openSet('folder', folder), 1);
    assert.deepEqual(
      bad.map(({ name }) => basename(name)),
      ['2.png', '4.jpg'],
    );
    assert.ok(minWidth === 2 && maxWidth > 2);
  });

  it('tells the sizes of the good images', async () => {
    const data = await openSet('folder', plant(fresh(), ['1.png']));
    const folder = fresh();
    for (const [width, height] of [
      [3, 50],
      [40, 5],
    ] as const)
      writeFileSync(join(folder, `${width}.png`), png(1, width, height));
    const two = await verify(await openSet('folder', folder), 2);
    assert.deepEqual([two.minWidth, two.maxWidth, two.minHeight, two.maxHeight], [3, 40, 5, 50]);
    const one = await verify(data, 1);
    assert.deepEqual([one.count, one.badCount, one.minWidth, one.maxHeight], [1, 0, 2, 2]);
    const bad = fresh();
    writeFileSync(join(bad, 'x'), '');
    const none = await verify(await openSet('folder', bad), 1);
    assert.deepEqual([none.badCount, none.minWidth, none.maxWidth, none.minHeight, none.maxHeight], [1, 0, 0, 0, 0]);
  });

  it('lists the first thousand, whatever the number of threads', async () => {
    const folder = fresh();
    for (let i = 0; i < 1500; i++) closeSync(openSync(join(folder, String(i).padStart(4, '0')), 'w'));
    const data = await openSet('folder', folder);
    for (const threads of [1, 3]) {
      const { bad, badCount } = await verify(data, threads);
      assert.equal(badCount, 1500);
      assert.deepEqual(
        bad.map(({ name }) => basename(name)),
        Array.from({ length: 1000 }, (_, i) => String(i).padStart(4, '0')),
      );
    }
  });

  it('verifies sets in memory', async () => {
    const data = await open({ reader: 'builtin', path: 'shapes', split: 'test' });
    const { count, badCount, bytes, minWidth, maxHeight } = await verify(data, 2);
    assert.deepEqual([count, badCount, bytes, minWidth, maxHeight], [data.count, 0, data.count * 3072, 32, 32]);
  });

  it('reports progress and stops when asked', async () => {
    const folder = fresh();
    const large = png(100, 1500, 1500);
    writeFileSync(join(folder, '0.png'), large);
    for (let i = 1; i < 400; i++) linkSync(join(folder, '0.png'), join(folder, `${i}.png`));
    const data = await openSet('folder', folder);
    const events: ProgressEvent[] = [];
    const controller = new AbortController();
    const options = { data: data.handle, threads: 2 };
    const job = startJob((sink) => getAddon().verifyData(options, sink), {
      signal: controller.signal,
      onProgress: (event) => {
        events.push(event);
        controller.abort();
      },
    });
    await assert.rejects(job.done, { code: 'E_ABORTED' });
    const [first] = events;
    assert.deepEqual([first?.phase, first?.total], ['verify', 400]);
    assert.ok((first?.done ?? 0) > 0 && (first?.done ?? 400) < 400 && (first?.rate ?? 0) > 0);
    assert.throws(() => getAddon().verifyData({ ...options, threads: 'x' as unknown as number }, quiet), {
      code: 'E_CONFIG',
    });
  });
});
