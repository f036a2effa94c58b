/**
 * zstd by its own C code, through the optional package `zstd-napi`.
 *
 * Out: a {@link ZstdLibrary}, where the package is installed and its compiled part loads.
 */
import { createRequire } from "node:module"
import { PAYLOAD_LEVEL, type ZstdLibrary } from "./zstdLibrary.ts"

/** The part of the package that is used: zstd.h's functions as they are. */
interface Addon {
  readonly CCtx: new () => {
    readonly setParameter: (parameter: number, value: number) => void
    readonly compress2: (into: Uint8Array, from: Uint8Array) => number
  }
  readonly DCtx: new () => {
    readonly decompress: (into: Uint8Array, from: Uint8Array) => number
  }
}

/** `ZSTD_cParameter` of zstd.h. */
const COMPRESSION_LEVEL = 100
const HASH_LOG = 102
const MIN_MATCH = 105
const TARGET_LENGTH = 106
const STRATEGY = 107
const CHECKSUM = 201

/**
 * What {@link PAYLOAD_LEVEL} stands for, over zstd's own level 1. The fast strategy with a table of
 * 2^15 places, which finds more of the addresses and topics of a block than the 2^14 of level 1;
 * matches from 4 bytes on; a target length of 2, which looks at two places of three and leaves
 * literals as they are: what has no match in a payload are hashes and signatures, and coding them
 * takes a fifth of the time for nothing. Against level 1: 1 % smaller and a quarter cheaper. A
 * target length of 1 is another 1 % smaller for 0.04 CPU-ms a block; the store's thread had no more
 * to spare (`npm run bench:compress`).
 */
const PAYLOAD_PARAMETERS: ReadonlyArray<readonly [number, number]> = [
  [STRATEGY, 1],
  [HASH_LOG, 15],
  [MIN_MATCH, 4],
  [TARGET_LENGTH, 2],
]

/** The native library; undefined where the package, or a compiled part for this machine, is missing. */
export const loadNativeZstd = (): ZstdLibrary | undefined => {
  // Not by `import`: a bundler would take the package in, and lose its compiled part.
  const load = createRequire(import.meta.url)
  try {
    const addon: Addon = load("zstd-napi/binding.js")
    return libraryOf(addon)
  } catch {
    return undefined
  }
}

const libraryOf = (addon: Addon): ZstdLibrary => {
  const reader = new addon.DCtx()
  const contextOf = (level: number): InstanceType<Addon["CCtx"]> => {
    const context = new addon.CCtx()
    context.setParameter(COMPRESSION_LEVEL, level)
    context.setParameter(CHECKSUM, 1)
    if (level === PAYLOAD_LEVEL) {
      for (const [parameter, value] of PAYLOAD_PARAMETERS) context.setParameter(parameter, value)
    }
    return context
  }
  // One level is asked for in a run; another one would make its own.
  let current = { level: PAYLOAD_LEVEL, writer: contextOf(PAYLOAD_LEVEL) }
  return {
    compress: (into, from, level) => {
      if (level !== current.level) current = { level, writer: contextOf(level) }
      return current.writer.compress2(into, from)
    },
    decompress: (into, frame) => reader.decompress(into, frame),
  }
}
