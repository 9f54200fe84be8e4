import assert from 'node:assert/strict';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { openLog } from '../../lib/modes/log.js';
import { sweepFolder } from '../../lib/modes/state.js';
import { crc32c, EVENTS_FILE, encodeEvent } from '../../lib/modes/tensorboard.js';
import type { EpochEvent, StepEvent } from '../../lib/native/contract.js';

const root = mkdtempSync(join(tmpdir(), 'mode-ensemble-tensorboard-'));
after(() => rmSync(root, { recursive: true, force: true }));
const makeFolder = () => mkdtempSync(join(root, 'mode-'));

const step = (globalStep: number, more: Partial<StepEvent> = {}): StepEvent => ({
  ...{ type: 'step', epoch: 1, epochs: 2, step: globalStep, steps: 9, globalStep, loss: 2 / globalStep },
  ...{ top1: 12.5, top5: 50, learningRate: 0.1, imagesPerSecond: 300, dataWait: 0.25, ...more },
});
const epoch = (number: number, globalStep: number): EpochEvent => ({
  ...{ type: 'epoch', epoch: number, epochs: 2, globalStep, loss: 1, trainTop1: 20, trainTop5: 60, learningRate: 0.1 },
  ...{ accuracy: 40 + number, top5: 80, testLoss: 1.5, seconds: 3, imagesPerSecond: 300, dataWait: 0 },
});

type Value = number | Buffer;

/** The fields of a protobuf message, in their order. */
function fieldsOf(message: Buffer): [field: number, value: Value][] {
  const found: [number, Value][] = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message.readUInt8(at++);
      value += (byte % 128) * scale;
      if (byte < 128) return value;
    }
  };
  const readers: Record<number, () => Value> = {
    0: varint,
    1: () => message.readDoubleLE((at += 8) - 8),
    2: () => {
      const length = varint();
      assert.ok(at + length <= message.length);
      return message.subarray(at, (at += length));
    },
    5: () => message.readFloatLE((at += 4) - 4),
  };
  while (at < message.length) {
    const key = varint();
    found.push([key >>> 3, (readers[key & 7] ?? assert.fail(`wire type ${key & 7}`))()]);
  }
  return found;
}

interface Decoded {
  time: Value;
  step?: Value;
  version?: string;
  scalars?: Record<string, Value>;
}

const unmasked = (masked: number) => {
  const rotated = (masked - 0xa282ead8) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
};

/** The records of a file, whose checksums are right and whose last one is whole. */
function decode(bytes: Buffer): Decoded[] {
  const events: Decoded[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    const data = bytes.subarray(at + 12, at + 12 + length);
    assert.equal(crc32c(bytes.subarray(at, at + 8)), unmasked(bytes.readUInt32LE(at + 8)));
    assert.equal(crc32c(data), unmasked(bytes.readUInt32LE(at + 12 + length)));
    at += 16 + length;
    const { 1: time, 2: steps, 3: version, 5: summary, ...others } = Object.fromEntries(fieldsOf(data));
    assert.deepEqual(others, {});
    events.push({
      time: time ?? assert.fail('no wall_time'),
      ...(steps !== undefined && { step: steps }),
      ...(version !== undefined && { version: version.toString() }),
      ...(summary !== undefined && { scalars: scalarsOf(summary as Buffer) }),
    });
  }
  return events;
}

function scalarsOf(summary: Buffer): Record<string, Value> {
  return Object.fromEntries(
    fieldsOf(summary).map(([field, message]) => {
      const [[first, tag], [second, value], ...others] = fieldsOf(message as Buffer) as [
        [number, Buffer],
        [number, number],
      ];
      assert.deepEqual([field, first, second, others], [1, 1, 2, []]);
      return [tag.toString(), value];
    }),
  );
}

const eventsIn = (folder: string) => decode(readFileSync(join(folder, EVENTS_FILE)));
const linesIn = (folder: string) =>
  readFileSync(join(folder, 'log.jsonl'), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
const stepsOf = (events: Decoded[]) => events.slice(1).map(({ step, scalars = {} }) => [step, Object.keys(scalars)[0]]);

describe('CRC-32C', () => {
  // RFC 3720, B.4, whose bytes are those of the number from the lowest on.
  for (const [name, data, expected] of [
    ['32 zeros', Buffer.alloc(32), 0x8a9136aa],
    ['32 ones', Buffer.alloc(32, 0xff), 0x62a8ab43],
    ['32 that rise', Buffer.from([...Array(32).keys()]), 0x46dd794e],
    ['32 that fall', Buffer.from([...Array(32).keys()].reverse()), 0x113fdb5c],
    // The "check" of Williams, A painless guide to CRC error detection algorithms, for this polynomial.
    ['the digits', Buffer.from('123456789'), 0xe3069283],
    ['nothing', Buffer.alloc(0), 0],
  ] as const) {
    it(`of ${name}`, () => assert.equal(crc32c(data), expected));
  }
});

describe('a file of events', () => {
  it('has the version, then each line with its time, its step and its values', () => {
    const folder = makeFolder();
    const log = openLog(folder);
    const began = Date.now() / 1000;
    assert.ok(log.write(step(3)) && log.write(step(2 ** 40 + 5)) && log.write(epoch(1, 9)));
    const lines = linesIn(folder);
    const [header, ...events] = eventsIn(folder);
    assert.equal(header?.version, 'brain.Event:2');
    assert.ok(Math.abs((header?.time as number) - began) < 60);
    const of = ({ loss, top1, top5, learningRate, imagesPerSecond, dataWait }: StepEvent) => ({
      ...{ 'loss-ce': Math.fround(loss), 'train-top1': top1, 'train-top5': top5 },
      ...{ 'learning-rate': Math.fround(learningRate), 'images-per-second': imagesPerSecond, 'data-wait': dataWait },
    });
    assert.deepEqual(events, [
      { time: lines[0].time, step: 3, scalars: of(step(3)) },
      { time: lines[1].time, step: 2 ** 40 + 5, scalars: of(step(2 ** 40 + 5)) },
      { time: lines[2].time, step: 1, scalars: { valacc: 41, 'val-top5': 80, 'val-loss': 1.5 } },
    ]);
    for (const { time } of lines) assert.ok(time >= began && time < began + 60);
    assert.deepEqual(readdirSync(folder).sort(), [EVENTS_FILE, 'log.jsonl']);
  });

  it('takes numbers that are not finite, and is as long with them', () => {
    const [plain, odd] = [step(1), step(1, { loss: Number.NaN, dataWait: 0 })].map((event) =>
      encodeEvent({ ...event, time: 1 }),
    ) as [Buffer, Buffer];
    assert.ok(Number.isNaN(decode(odd)[0]?.scalars?.['loss-ce']));
    assert.equal(odd.length, plain.length);
  });

  it('is begun anew by a training that begins anew', () => {
    const folder = makeFolder();
    openLog(folder).write(step(1));
    openLog(folder);
    assert.deepEqual([eventsIn(folder).length, linesIn(folder)], [1, []]);
  });

  it('that cannot be written stops the training with its own sentence', () => {
    const folder = makeFolder();
    const place = join(folder, EVENTS_FILE);
    const log = openLog(folder);
    rmSync(place);
    mkdirSync(join(place, 'in-the-way'), { recursive: true });
    assert.equal(log.write(step(1)), false);
    const message = `${place} cannot be written: it is a folder (EISDIR).`;
    assert.deepEqual([log.fault?.code, log.fault?.message], ['E_IO', message]);
    assert.equal(log.write(step(2)), false);
    assert.equal(linesIn(folder).length, 1);
    assert.throws(
      () => openLog(folder),
      ({ code, message }) => code === 'E_IO' && message.startsWith(`${place} cannot be written: `),
    );
    // Until it is swept, TensorBoard must not take what is left for events.
    const left = readdirSync(folder).filter((name) => name.includes('.tmp-'));
    assert.deepEqual([left.length, left.some((name) => name.includes('tfevents'))], [1, false]);
    sweepFolder(folder);
    assert.deepEqual(readdirSync(folder).sort(), [EVENTS_FILE, 'log.jsonl']);
  });
});

describe('a training that goes on', () => {
  it('keeps the events of the lines that it keeps, as they were, and adds its own', () => {
    const folder = makeFolder();
    const log = openLog(folder);
    for (const event of [step(4), step(9), epoch(1, 9), step(13), step(17)]) log.write(event);
    const before = eventsIn(folder);
    // Killed as it wrote a line, and an event.
    appendFileSync(join(folder, 'log.jsonl'), '{"type":"step","epoch":2,"globalSt');
    appendFileSync(join(folder, EVENTS_FILE), encodeEvent({ ...step(18), time: 1 }).subarray(0, 30));

    const again = openLog(folder, { epoch: 1, steps: 13 });
    assert.deepEqual(eventsIn(folder).slice(1), before.slice(1, 5));
    assert.deepEqual(
      linesIn(folder).map(({ time }) => time),
      before.slice(1, 5).map(({ time }) => time),
    );
    for (const event of [step(17), step(18), epoch(2, 18)]) again.write(event);
    assert.deepEqual(stepsOf(eventsIn(folder)), [
      ...[4, 9].map((at) => [at, 'loss-ce']),
      [1, 'valacc'],
      ...[13, 17, 18].map((at) => [at, 'loss-ce']),
      [2, 'valacc'],
    ]);
    assert.equal(linesIn(folder).length, 7);
  });

  it('leaves an epoch out that has to be validated again', () => {
    const folder = makeFolder();
    const log = openLog(folder);
    for (const event of [step(9), epoch(1, 9)]) log.write(event);
    openLog(folder, { epoch: 0, steps: 9 });
    assert.deepEqual(stepsOf(eventsIn(folder)), [[9, 'loss-ce']]);
  });

  it('takes the lines of versions that wrote no time and fewer numbers', () => {
    const folder = makeFolder();
    const file = join(folder, 'log.jsonl');
    const { top5: _, ...fewer } = step(4);
    const old = `${[fewer, { ...step(9), loss: null }, epoch(1, 9)].map((line) => `${JSON.stringify(line)}\n`).join('')}`;
    writeFileSync(file, old);
    utimesSync(file, 1_600_000_000, 1_600_000_000);
    const log = openLog(folder, { epoch: 1, steps: 9 });
    assert.equal(readFileSync(file, 'utf8'), old);
    const [header, first, second] = eventsIn(folder);
    assert.deepEqual([header?.time, first?.time], [1_600_000_000, 1_600_000_000]);
    assert.deepEqual(Object.keys(first?.scalars ?? {}).includes('train-top5'), false);
    assert.ok(Number.isNaN(second?.scalars?.['loss-ce']));

    // The next time the file is younger than the lines that have a time.
    log.write(step(13));
    const { time } = linesIn(folder)[3];
    utimesSync(file, time + 100, time + 100);
    openLog(folder, { epoch: 1, steps: 13 });
    assert.deepEqual(
      eventsIn(folder).map((event) => event.time),
      Array(5).fill(time),
    );
  });

  it('writes the events where only the lines are there', () => {
    const folder = makeFolder();
    openLog(folder).write(step(4));
    rmSync(join(folder, EVENTS_FILE));
    openLog(folder, { epoch: 0, steps: 4 });
    assert.deepEqual(stepsOf(eventsIn(folder)), [[4, 'loss-ce']]);
    assert.ok(statSync(join(folder, EVENTS_FILE)).size > 0);
  });
});
