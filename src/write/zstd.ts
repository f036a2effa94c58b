/**
 * zstd frames: bytes made smaller, and read again.
 *
 * The native library does the work where the optional package `zstd-napi` is installed, the
 * WebAssembly of `@bokuweb/zstd-wasm` elsewhere; which of them is chosen once, when this module is
 * loaded. Each reads what the other wrote.
 *
 * Invariants: what {@link decompress} is given may be anything: it gives undefined for what is no
 * single whole frame, and never allocates more than it was allowed to, whatever the frame declares.
 * Where a frame has a checksum, damage does not go unnoticed.
 *
 * Source: RFC 8878 (3.1.1, frames).
 */
import type { ZstdLibrary } from "./zstdLibrary.ts"
import { loadNativeZstd } from "./zstdNative.ts"

const native = loadNativeZstd()
// The other library is not even loaded where the native one is there.
const library: ZstdLibrary = native ?? (await (await import("./zstdWasm.ts")).loadWasmZstd())

/** Whether the native library does the work. */
export const isNativeZstd: boolean = native !== undefined

/** The longest frame that so many bytes can become (`ZSTD_COMPRESSBOUND` of zstd.h). */
export const compressBound = (length: number): number =>
  length + (length >>> 8) + (length < 131_072 ? (131_072 - length) >>> 11 : 0)

/**
 * Writes a frame of `from` into `into`, which has room for {@link compressBound} of its length, and
 * gives the frame's length. Levels are those of {@link ZstdLibrary}.
 */
export const compress = (
  into: Uint8Array,
  from: Uint8Array,
  level: number,
  by: ZstdLibrary = library,
): number => by.compress(into, from, level)

/**
 * The content of a frame; undefined for what is none, is damaged, or declares over `mostBytes`. It
 * is written where `roomFor` says, which gives as many bytes as it is asked for.
 */
export const decompress = (
  frame: Uint8Array,
  mostBytes: number,
  by: ZstdLibrary = library,
  roomFor: (length: number) => Uint8Array = freshRoom,
): Uint8Array | undefined => {
  const length = contentLength(frame)
  if (length === undefined || length > mostBytes) return undefined
  const into = roomFor(length)
  try {
    return by.decompress(into, frame) === length ? into : undefined
  } catch {
    // All that either library throws for bytes: the frame is damaged.
    return undefined
  }
}

const freshRoom = (length: number): Uint8Array => {
  const buffer = Buffer.allocUnsafeSlow(length)
  return new Uint8Array(buffer.buffer, buffer.byteOffset, length)
}

const MAGIC = 0xfd2fb528
const SINGLE_SEGMENT = 0x20
const RESERVED_OR_DICTIONARY = 0x0b
/** Of the field with the content's length, by the two highest bits of the descriptor. */
const LENGTH_BYTES = [0, 2, 4, 8] as const

/** Bytes of content that a frame declares; undefined where it does not, or is none of ours. */
export const contentLength = (frame: Uint8Array): number | undefined => {
  if (frame.length < 5) return undefined
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length)
  const descriptor = view.getUint8(4)
  if (view.getUint32(0, true) !== MAGIC || (descriptor & RESERVED_OR_DICTIONARY) !== 0) {
    return undefined
  }
  const single = (descriptor & SINGLE_SEGMENT) !== 0
  const at = single ? 5 : 6
  const width = LENGTH_BYTES[descriptor >>> 6] ?? 0
  if (frame.length < at + Math.max(width, 1)) return undefined
  switch (width) {
    case 0:
      return single ? view.getUint8(at) : undefined
    case 2:
      return view.getUint16(at, true) + 256
    case 4:
      return view.getUint32(at, true)
    case 8: {
      const length = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32
      return Number.isSafeInteger(length) ? length : undefined
    }
  }
}
