/**
 * What payloads become by this and that way of compressing them, in kB a block, and what it costs,
 * in CPU-milliseconds a block. Run by `compress.mjs`; prints a table in Markdown.
 *
 * Two sets of blocks: a generated chain of mainnet's shape, and mainnet's own blocks of the
 * fixtures, from London to Prague, without empty ones and one of 1.6 MB that is nearly all alike.
 * Times are the least of the rounds, since all that disturbs only adds to them. Headers, 0.6 kB, are not packed.
 */
import { existsSync, readdirSync } from "node:fs"
import { createRequire } from "node:module"
import zlib from "node:zlib"
import { readChainFiles } from "../src/devnet/chainFiles.ts"
import { generateChain } from "../src/devnet/generatedChain.ts"
import type { ServedChain } from "../src/devnet/servedChain.ts"
import { FlatReceiptCursor, LogCursor, TOPIC_STRIDE } from "../src/domain/logs.ts"
import { concatBytes } from "../src/domain/rlp.ts"
import { packParts, type PayloadParts, unpackParts } from "../src/write/payloadCodec.ts"
import { compressBound } from "../src/write/zstd.ts"
import { loadNativeZstd } from "../src/write/zstdNative.ts"
import { loadWasmZstd } from "../src/write/zstdWasm.ts"
import { storeTable } from "./compressStore.ts"

const BLOCKS = 64
const ROUNDS = 7
const SEED = 11
/** Blocks at the start of the generated chain from which dictionaries are made; not measured. */
const TRAINING_BLOCKS = 64
const DICTIONARY_BYTES = 128 * 1024
const REAL_FILES = /^(cancun|forks|london)/

// ------------------------------------------------------------------------------------- the blocks

const partsOf = (chain: ServedChain, numbers: ReadonlyArray<number>): Array<PayloadParts> =>
  numbers.flatMap((n) => {
    const [body, receipts] = [chain.bodyAt(n), chain.receipts69At(n)]
    return body === undefined || receipts === undefined ? [] : [{ body, receipts }]
  })

const chain = generateChain({ blocks: TRAINING_BLOCKS + BLOCKS, shape: "mainnet", seed: SEED })
const training = partsOf(chain, chain.numbers.slice(1, TRAINING_BLOCKS + 1))
const generated = partsOf(chain, chain.numbers.slice(TRAINING_BLOCKS + 1))

const realBlocks = (): ReadonlyArray<PayloadParts> => {
  const folder = `${process.env["ANNALS_FIXTURES"]}/mainnet`
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => REAL_FILES.test(name))
    .flatMap((name) => {
      const blocks = readChainFiles([`${folder}/${name}`])
      return partsOf(blocks, blocks.numbers)
    })
    .filter(({ body, receipts }) => body.length > 8_000 && receipts.length < 1_000_000)
}
const real = realBlocks()

// ------------------------------------------------------------------------------------ the methods

/** Compresses one piece, and the other way round. */
interface Codec {
  readonly pack: (bytes: Uint8Array) => Uint8Array
  readonly unpack?: (packed: Uint8Array, length: number) => Uint8Array
}

/** What is done to some blocks at once; gives the pieces that are stored. */
interface Method {
  readonly name: string
  /** Blocks that are compressed together. */
  readonly together?: number
  /** What it has learnt from generated blocks is worth nothing to others. */
  readonly generatedOnly?: boolean
  readonly pack: (blocks: ReadonlyArray<PayloadParts>) => ReadonlyArray<Uint8Array>
  readonly unpack?: (pieces: ReadonlyArray<Uint8Array>, lengths: ReadonlyArray<number>) => unknown
}

/** The parts of {@link zstdNative}'s package that no one else uses. */
interface Zstd {
  readonly CCtx: new () => {
    readonly compress: (into: Uint8Array, from: Uint8Array, level: number) => number
    readonly compressUsingCDict: (into: Uint8Array, from: Uint8Array, dictionary: object) => number
  }
  readonly CDict: new (dictionary: Uint8Array, level: number) => object
}
interface Lz4 {
  readonly compressSync: (from: Uint8Array) => Uint8Array
  readonly uncompressSync: (from: Uint8Array) => Uint8Array
}
type Snappy = Lz4

/** A package; undefined where it is not there, or not built. */
const loadOptional = (name: string) => {
  const folder = process.env["ANNALS_BENCH_MODULES"]
  for (const place of [import.meta.url, ...(folder === undefined ? [] : [`${folder}/`])]) {
    try {
      return createRequire(place)(name)
    } catch {
      // The next place may have it.
    }
  }
  return undefined
}

const both = ({ body, receipts }: PayloadParts): Uint8Array => concatBytes([body, receipts])

const apart = (name: string, { pack, unpack }: Codec): Method => ({
  name: `${name}, body and receipts apart`,
  pack: ([block]) => [pack(block!.body), pack(block!.receipts)],
  ...(unpack && {
    unpack: (pieces, lengths) => pieces.map((piece, i) => unpack(piece, lengths[i]!)),
  }),
})

const joint = (name: string, { pack, unpack }: Codec): Method => ({
  name: `${name}, in one`,
  pack: ([block]) => [pack(both(block!))],
  ...(unpack && {
    unpack: ([piece], [body, receipts]) => unpack(piece!, body! + receipts!),
  }),
})

const grouped = (name: string, together: number, { pack }: Codec): Method => ({
  name: `${name}, ${together} blocks in one`,
  together,
  pack: (blocks) => [pack(concatBytes(blocks.flatMap(({ body, receipts }) => [body, receipts])))],
})

const zstdAt = (zstd: Zstd, level: number): Codec => {
  const context = new zstd.CCtx()
  return {
    pack: (bytes) => {
      const into = new Uint8Array(compressBound(bytes.length))
      return into.subarray(0, context.compress(into, bytes, level))
    },
    unpack: unpackNative,
  }
}

const native = loadNativeZstd()
const unpackNative = (packed: Uint8Array, length: number): Uint8Array => {
  const into = new Uint8Array(length)
  native?.decompress(into, packed)
  return into
}

const zstdWith = (zstd: Zstd, level: number, dictionary: Uint8Array): Codec => {
  const context = new zstd.CCtx()
  const made = new zstd.CDict(dictionary, level)
  return {
    pack: (bytes) => {
      const into = new Uint8Array(compressBound(bytes.length))
      return into.subarray(0, context.compressUsingCDict(into, bytes, made))
    },
  }
}

const brotliAt = (quality: number): Codec => ({
  pack: (bytes) =>
    zlib.brotliCompressSync(bytes, {
      params: {
        [zlib.constants.BROTLI_PARAM_QUALITY]: quality,
        [zlib.constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
      },
    }),
  unpack: (packed) => zlib.brotliDecompressSync(packed),
})

const deflateAt = (level: number, dictionary?: Uint8Array): Codec => {
  const options = dictionary === undefined ? { level } : { level, dictionary }
  return {
    pack: (bytes) => zlib.deflateRawSync(bytes, options),
    unpack: (packed) => zlib.inflateRawSync(packed, options),
  }
}

/** The addresses, topics and data of all logs, and what is left, one behind the other. */
const columnsOf = (receipts: Uint8Array): Uint8Array => {
  const addresses: Array<Uint8Array> = []
  const topics: Array<Uint8Array> = []
  const data: Array<Uint8Array> = []
  const rest: Array<Uint8Array> = []
  let at = 0
  const take = (column: Array<Uint8Array>, from: number, to: number): void => {
    if (from > at) rest.push(receipts.subarray(at, from))
    column.push(receipts.subarray(from, to))
    at = to
  }
  const cursor = new FlatReceiptCursor(receipts)
  while (cursor.next()) {
    const logs = new LogCursor(receipts, cursor.logsStart, cursor.logsEnd)
    while (logs.next()) {
      take(addresses, logs.addressStart, logs.addressStart + 20)
      for (let i = 0; i < logs.topicCount; i++) {
        const start = logs.topicsStart + i * TOPIC_STRIDE
        take(topics, start, start + 32)
      }
      take(data, logs.dataStart, logs.dataEnd)
    }
  }
  rest.push(receipts.subarray(at))
  return concatBytes([...rest, ...addresses, ...topics, ...data])
}

/** The words of 20 and 32 bytes that most blocks have, the most wanted last. */
const dictionaryOf = (blocks: ReadonlyArray<PayloadParts>, mostBytes: number): Uint8Array => {
  const counts = new Map<string, number>()
  for (const block of blocks) {
    const bytes = Buffer.from(both(block))
    const words = new Set<string>()
    for (let at = 0; at + 33 <= bytes.length; at++) {
      // An RLP string of 20 or 32 bytes, or an address that the ABI has filled up with zeros.
      const padded = bytes[at] === 0 && bytes[at + 1] !== 0 && at > 10 && isZero(bytes, at - 11, at)
      if (bytes[at] === 0x94 || padded) words.add(bytes.toString("latin1", at + 1, at + 21))
      if (bytes[at] === 0xa0) words.add(bytes.toString("latin1", at + 1, at + 33))
    }
    for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1)
  }
  const chosen: Array<string> = []
  let size = 0
  const common = [...counts].filter(([, count]) => count > 1)
  for (const [word] of common.sort((a, b) => b[1] * b[0].length - a[1] * a[0].length)) {
    if ((size += word.length) > mostBytes) break
    chosen.push(word)
  }
  return Buffer.from(chosen.toReversed().join(""), "latin1")
}

const isZero = (bytes: Uint8Array, from: number, to: number): boolean =>
  bytes.subarray(from, to).every((byte) => byte === 0)

// ---------------------------------------------------------------------------------------- measure

const methods: Array<Method> = [{ name: "none", pack: ([block]) => [block!.body, block!.receipts] }]

const snappy: Snappy | undefined = loadOptional("snappy")
if (snappy !== undefined) {
  methods.push(
    apart("snappy", {
      pack: (bytes) => snappy.compressSync(bytes),
      unpack: (packed) => snappy.uncompressSync(packed),
    }),
  )
}
const lz4: Lz4 | undefined = loadOptional("lz4-napi")
if (lz4 === undefined) console.error("lz4 is left out: no lz4-napi in $ANNALS_BENCH_MODULES")
else {
  methods.push(
    apart("lz4", {
      pack: (bytes) => lz4.compressSync(bytes),
      unpack: (packed) => lz4.uncompressSync(packed),
    }),
  )
}
for (const quality of [0, 1, 2]) methods.push(joint(`brotli ${quality}`, brotliAt(quality)))
methods.push(joint("deflate 1", deflateAt(1)))
const smallDictionary = dictionaryOf(training, 32 * 1024)
methods.push({
  ...joint("deflate 1, dictionary of 32 kB", deflateAt(1, smallDictionary)),
  generatedOnly: true,
})

const zstd: Zstd | undefined = loadOptional("zstd-napi/binding.js")
if (zstd === undefined) console.error("native zstd is left out: zstd-napi is not installed")
else {
  for (const level of [-5, -3, -1, 1, 2, 3]) {
    methods.push(apart(`zstd ${level}`, zstdAt(zstd, level)))
  }
  for (const level of [-5, -3, -1, 1, 2, 3, 9, 19]) {
    methods.push(joint(`zstd ${level}`, zstdAt(zstd, level)))
  }
  for (const level of [-1, 1]) {
    for (const together of [8, 32]) {
      methods.push(grouped(`zstd ${level}`, together, zstdAt(zstd, level)))
    }
  }
  const dictionary = dictionaryOf(training, DICTIONARY_BYTES)
  for (const level of [-1, 1, 3]) {
    methods.push({
      ...joint(`zstd ${level}, dictionary of 128 kB`, zstdWith(zstd, level, dictionary)),
      generatedOnly: true,
    })
  }
  for (const level of [-1, 1]) {
    const { pack } = zstdAt(zstd, level)
    methods.push({
      name: `zstd ${level}, in one, receipts as columns`,
      pack: ([block]) => [pack(concatBytes([block!.body, columnsOf(block!.receipts)]))],
    })
  }
}
const wasm = await loadWasmZstd()
methods.push(
  joint("zstd -1 by WebAssembly", {
    pack: (bytes) => {
      const into = new Uint8Array(compressBound(bytes.length))
      return into.subarray(0, wasm.compress(into, bytes, 1))
    },
    unpack: (packed, length) => {
      const into = new Uint8Array(length)
      wasm.decompress(into, packed)
      return into
    },
  }),
)
methods.push({
  name: "**as the store packs**",
  pack: ([block]) => [packParts(block!).body],
  unpack: ([body]) => unpackParts({ body: body!, receipts: new Uint8Array(0), codec: 1 }),
})

const cpuMs = (run: () => void): number => {
  const before = process.cpuUsage()
  run()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

interface Figures {
  readonly kB: number
  readonly packMs: number
  readonly unpackMs: number | undefined
}

const measure = (method: Method, set: ReadonlyArray<PayloadParts>): Figures => {
  const { together = 1, pack, unpack } = method
  const groups: Array<ReadonlyArray<PayloadParts>> = []
  for (let at = 0; at < set.length; at += together) groups.push(set.slice(at, at + together))
  const packed = groups.map((group) => pack(group).map((piece) => Uint8Array.from(piece)))
  const bytes = packed.flat().reduce((sum, piece) => sum + piece.length, 0)
  const lengths = groups.map(([block]) => [block!.body.length, block!.receipts.length])
  // Small sets are gone through more than once: the clock of the processor ticks in milliseconds.
  const times = Math.ceil(BLOCKS / set.length)
  const timed = (run: () => void): number => {
    const rounds = Array.from({ length: ROUNDS }, () =>
      cpuMs(() => {
        for (let i = 0; i < times; i++) run()
      }),
    )
    return Math.min(...rounds) / (times * set.length)
  }
  return {
    kB: bytes / set.length / 1000,
    packMs: timed(() => groups.forEach((group) => pack(group))),
    unpackMs: unpack && timed(() => packed.forEach((pieces, i) => unpack(pieces, lengths[i]!))),
  }
}

const cells = ({ kB, packMs, unpackMs }: Figures): string =>
  `${kB.toFixed(1)} | ${packMs.toFixed(2)} | ${unpackMs?.toFixed(2) ?? "–"}`

const sets = [generated, ...(real.length === 0 ? [] : [real])]
console.log(
  real.length === 0
    ? "| way | generated, kB | pack, ms | unpack, ms |\n|---|---|---|---|"
    : "| way | generated, kB | pack, ms | unpack, ms | real, kB | pack, ms | unpack, ms |\n|---|---|---|---|---|---|---|",
)
for (const method of methods) {
  const figures = sets.map((set) =>
    method.generatedOnly === true && set !== generated ? "– | – | –" : cells(measure(method, set)),
  )
  console.log(`| ${method.name} | ${figures.join(" | ")} |`)
}

console.log(`\nWritten into a store:\n\n${await storeTable()}`)
