/** Files of chains: era1, era1 with right checksums around anything, RLP; and what is served of them. */
import { isEra1, readEra1 } from "../../../src/devnet/era1.ts"
import { readRlpChain } from "../../../src/devnet/rlpChain.ts"
import {
  ChainFileInvalid,
  makeServedChain,
  type SourceBlock,
} from "../../../src/devnet/servedChain.ts"
import { concatBytes, encodeList, RlpError, RlpReader } from "../../../src/domain/rlp.ts"
import { compress } from "../../../src/wire/snappyMessage.ts"
import { agree, agreeBytes, attempt, type FuzzTarget } from "../target.ts"
import type { MaterialBlock } from "../material.ts"

export const era1: FuzzTarget = {
  name: "era1",
  kind: "bytes",
  seeds: ({ blocks }) => {
    const files = [blocks.slice(0, 2), blocks.slice(12, 13), blocks.slice(20, 22)]
    return files.map((each) => era1File(each)).filter(({ length }) => length < 24_576)
  },
  run: (input) => {
    const blocks = attempt(() => readEra1(input, "a.era1"), ChainFileInvalid)
    if (blocks === undefined) return
    agree(isEra1(input) || input[2] !== 0, "what is read begins like an era1 file")
    serve(blocks)
  },
}

export const era1Content: FuzzTarget = {
  name: "era1-content",
  testInputs: 300,
  kind: "rlp",
  seeds: ({ blocks }) =>
    [0, 8, 14, 20, 26].flatMap((from) => {
      const some = blocks.slice(from, from + 2)
      if (some.length === 0) return []
      return [concatBytes(some.flatMap(({ header, body, receipts }) => [header, body, receipts]))]
    }),
  run: (input) => {
    const items = attempt(() => new RlpReader(input).restItems(), RlpError) ?? [input, input, input]
    const parts: Array<MaterialBlock> = []
    for (let at = 0; at + 3 <= items.length && parts.length < 8; at += 3) {
      parts.push({ header: items[at]!, body: items[at + 1]!, receipts: items[at + 2]! })
    }
    const blocks = attempt(() => readEra1(era1File(parts), "a.era1"), ChainFileInvalid)
    if (blocks === undefined) return
    for (const [index, { header, body, receipts }] of blocks.entries()) {
      agreeBytes(header, parts[index]!.header, "the header that was put in")
      agreeBytes(body, parts[index]!.body, "the body that was put in")
      agreeBytes(receipts!, parts[index]!.receipts, "the receipts that were put in")
    }
    serve(blocks)
  },
}

export const rlpChain: FuzzTarget = {
  name: "rlp-chain",
  testInputs: 1_000,
  kind: "rlp",
  seeds: ({ blocks }) =>
    [0, 3, 8, 14, 20, 26].map((from) =>
      concatBytes(
        blocks
          .slice(from, from + 2)
          .map(({ header, body, receipts }) => encodeList([header, body, receipts])),
      ),
    ),
  run: (input) => {
    // Packed files are their giver's own; how large they unpack is not bounded.
    if (input[0] === 0x1f) return
    const blocks = attempt(() => readRlpChain(input, "a.rlp"), ChainFileInvalid)
    if (blocks !== undefined) serve(blocks)
  },
}

/** A chain that can be made of blocks can be served, block by block. */
const serve = (blocks: ReadonlyArray<SourceBlock>): void => {
  const chain = attempt(() => makeServedChain(blocks), ChainFileInvalid)
  if (chain === undefined) return
  for (const number of chain.numbers.slice(0, 4)) {
    agree(chain.headerAt(number) !== undefined, "what is counted is there")
    attempt(() => chain.receipts69At(number), ChainFileInvalid)
  }
}

/** An era1 file over these blocks. */
const era1File = (blocks: ReadonlyArray<MaterialBlock>): Uint8Array => {
  const first = blocks[0] && attempt(() => numberOf(blocks[0]!.header), RlpError)
  return concatBytes([
    entry(0x3265, new Uint8Array(0)),
    ...blocks.flatMap(({ header, body, receipts }) => [
      entry(0x03, framed(header)),
      entry(0x04, framed(body)),
      entry(0x05, framed(receipts)),
      entry(0x06, new Uint8Array(32).fill(1)),
    ]),
    entry(0x07, new Uint8Array(32)),
    entry(0x3266, words(first ?? 0, ...blocks.map(() => 0), blocks.length)),
  ])
}

const numberOf = (header: Uint8Array): number => {
  const fields = RlpReader.list(header)
  for (let i = 0; i < 8; i++) fields.next()
  return fields.nextUint()
}

const entry = (type: number, data: Uint8Array): Uint8Array => {
  const head = new DataView(new ArrayBuffer(8))
  head.setUint16(0, type, true)
  head.setUint32(2, data.length, true)
  return concatBytes([new Uint8Array(head.buffer), data])
}

const words = (...values: ReadonlyArray<number>): Uint8Array => {
  const view = new DataView(new ArrayBuffer(8 * values.length))
  for (const [i, value] of values.entries()) view.setBigUint64(8 * i, BigInt(value), true)
  return new Uint8Array(view.buffer)
}

const MAX_CHUNK_BYTES = 65_536

/** Snappy's framing format: the first chunk packed, all others plain. */
const framed = (content: Uint8Array): Uint8Array => {
  const parts: Array<Uint8Array> = [Uint8Array.of(0xff, 6, 0, 0), Buffer.from("sNaPpY", "latin1")]
  for (let at = 0; at < content.length; at += MAX_CHUNK_BYTES) {
    const plain = content.subarray(at, at + MAX_CHUNK_BYTES)
    const packed = at === 0 ? compress(plain) : plain
    const head = new DataView(new ArrayBuffer(8))
    head.setUint32(0, (at === 0 ? 0 : 1) + 256 * (packed.length + 4), true)
    head.setUint32(4, maskedCrc32c(plain), true)
    parts.push(new Uint8Array(head.buffer), packed)
  }
  return concatBytes(parts)
}

/** CRC-32C bit by bit, with snappy's mask. */
const maskedCrc32c = (bytes: Uint8Array): number => {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 0 ? 0 : 0x82f63b78)
  }
  crc = ~crc >>> 0
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}
