/**
 * What TensorBoard reads of a training. A file is a row of records, each an Event. Sources: the framing, and the mask of its
 * checksums, are TensorFlow's (tsl/lib/io/record_writer.h, tsl/lib/hash/crc32c.h); the messages those of
 * tensorflow/core/util/event.proto and tensorflow/core/framework/summary.proto, of which the few fields needed are encoded by
 * hand (protobuf.dev/programming-guides/encoding).
 */
import type { EpochEvent, StepEvent } from '../native/contract.js';

/** TensorBoard takes files with `tfevents` in their names. The rest never changes, so that a training that goes on has one. */
export const EVENTS_FILE = 'events.out.tfevents.0.mode-ensemble';

/** A line of log.jsonl; `time` is in seconds since 1970. */
export type LoggedEvent = (StepEvent | EpochEvent) & { time: number };

/** Tags of TensorBoard's charts, and what each shows: `loss-ce` and `valacc` are the reference's. */
const STEP_TAGS: Readonly<Record<string, keyof StepEvent>> = {
  'loss-ce': 'loss',
  'train-top1': 'top1',
  'train-top5': 'top5',
  'learning-rate': 'learningRate',
  'images-per-second': 'imagesPerSecond',
  'data-wait': 'dataWait',
};
const EPOCH_TAGS: Readonly<Record<string, keyof EpochEvent>> = {
  valacc: 'accuracy',
  'val-top5': 'top5',
  'val-loss': 'testLoss',
};

/** What a file of events begins with. */
export function encodeHeader(time: number): Buffer {
  return record(Buffer.concat([double(1, time), bytes(3, Buffer.from('brain.Event:2'))]));
}

/**
 * The record of a line: one Event with all of its values, at the step of all epochs, or at the epoch. Records of the same step
 * are of one length, whatever its numbers: a reader that goes on from an offset, as TensorBoard's in Python does, finds a record
 * there also after the file was written anew.
 */
export function encodeEvent(event: LoggedEvent): Buffer {
  const [step, tags] = event.type === 'epoch' ? [event.epoch, EPOCH_TAGS] : [event.globalStep, STEP_TAGS];
  const numbers = event as unknown as Readonly<Record<string, number | null | undefined>>;
  const values: Buffer[] = [];
  for (const [tag, field] of Object.entries(tags)) {
    const value = numbers[field];
    // Older versions did not tell all of them; JSON makes null of what is not finite.
    if (value !== undefined) {
      values.push(bytes(1, Buffer.concat([bytes(1, Buffer.from(tag)), float(2, value ?? Number.NaN)])));
    }
  }
  return record(Buffer.concat([double(1, event.time), int64(2, step), bytes(5, Buffer.concat(values))]));
}

/** uint64 length, uint32 masked checksum of the length, the data, uint32 masked checksum of the data; little-endian. */
function record(data: Buffer): Buffer {
  const framed = Buffer.alloc(8 + 4 + data.length + 4);
  framed.writeBigUInt64LE(BigInt(data.length), 0);
  framed.writeUInt32LE(masked(crc32c(framed.subarray(0, 8))), 8);
  data.copy(framed, 12);
  framed.writeUInt32LE(masked(crc32c(data)), 12 + data.length);
  return framed;
}

function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** The polynomial 0x1edc6f41 of RFC 3720, B.4, its bits in reverse. */
const CASTAGNOLI = 0x82f63b78;

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ CASTAGNOLI : crc >>> 1;
  return crc;
});

/** CRC-32C (RFC 3720, 12.1). */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = (crc >>> 8) ^ (CRC_TABLE[(crc ^ byte) & 0xff] as number);
  return (crc ^ 0xffffffff) >>> 0;
}

/** A field begins with its number and how it is encoded: 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes. */
const key = (field: number, type: 0 | 1 | 2 | 5): number => (field << 3) | type;

function double(field: number, value: number): Buffer {
  const buffer = Buffer.alloc(9, key(field, 1));
  buffer.writeDoubleLE(value, 1);
  return buffer;
}

function float(field: number, value: number): Buffer {
  const buffer = Buffer.alloc(5, key(field, 5));
  buffer.writeFloatLE(value, 1);
  return buffer;
}

function int64(field: number, value: number): Buffer {
  return Buffer.from([key(field, 0), ...varint(value)]);
}

function bytes(field: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from([key(field, 2), ...varint(value.length)]), value]);
}

/** Seven bits a byte, the lowest first; the eighth says that another byte follows. For whole numbers from 0. */
function varint(value: number): number[] {
  const rest: number[] = [];
  let left = value;
  for (; left >= 128; left = Math.floor(left / 128)) rest.push((left % 128) | 128);
  return [...rest, left];
}
