/**
 * zstd as WebAssembly, by the package `@bokuweb/zstd-wasm`: runs wherever Node does, at twice the
 * processor time of the native one. What it writes has no checksum.
 */
import { createRequire } from "node:module"
import { PAYLOAD_LEVEL, type ZstdLibrary } from "./zstdLibrary.ts"

/** The part of the package that is used. */
interface Package {
  readonly init: () => Promise<void>
  readonly compress: (from: Uint8Array, level: number) => Uint8Array
  /** Allocates what the frame declares: that has to be known to be sane. */
  readonly decompress: (frame: Uint8Array) => Uint8Array
}

/** What {@link PAYLOAD_LEVEL} stands for, where only levels can be chosen: the fast strategy too. */
const FAST_LEVEL = -1

/** Loads the package. */
export const loadWasmZstd = async (): Promise<ZstdLibrary> => {
  // Not by `import`: a bundler would take the package in, and lose the module that lies beside it.
  const zstd: Package = createRequire(import.meta.url)("@bokuweb/zstd-wasm")
  await zstd.init()
  return {
    compress: (into, from, level) => {
      const frame = zstd.compress(from, level === PAYLOAD_LEVEL ? FAST_LEVEL : level)
      into.set(frame)
      return frame.length
    },
    decompress: (into, frame) => {
      const bytes = zstd.decompress(frame)
      into.set(bytes)
      return bytes.length
    },
  }
}
