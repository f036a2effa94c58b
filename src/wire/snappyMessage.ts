/**
 * Compression of messages (EIP-706: snappy's block format, from p2p version 5 on).
 *
 * The size that the compressed bytes declare is read first, and held against what is allowed and
 * against what so many bytes can hold, so that a small message can never become a large allocation.
 * What is decompressed lies in memory of its own.
 */
import snappy from "snappy"
import { ownMemory } from "../domain/answerMemory.ts"

/** Why a message is not decompressed. */
export type SnappyFault = "not_snappy" | "too_large" | "overstated"

/**
 * Bytes that are no snappy, declare more than is allowed, or more than they can hold; their sender is
 * to blame.
 */
export class SnappyError extends Error {
  override readonly name = "SnappyError"
  readonly reason: SnappyFault

  constructor(reason: SnappyFault) {
    super(`snappy: ${reason}`)
    this.reason = reason
  }
}

/** An element of three bytes, a copy with an offset of two, gives 64 bytes at the most. */
const MOST_BYTES_PER_BYTE = 64 / 3

/** The library is slower by six when it is to lend its memory. */
const COPY = { copyOutputData: true }

/** The compressed form of `payload`. */
export const compress = (payload: Uint8Array): Uint8Array => snappy.compressSync(payload, COPY)

/** How many bytes `compressed` says to decompress to. Throws {@link SnappyError}. */
export const declaredSize = (compressed: Uint8Array): number => {
  let size = 0
  for (let i = 0; i < 5; i++) {
    const byte = compressed[i]
    if (byte === undefined) break
    size += (byte & 0x7f) * 2 ** (7 * i)
    if (byte < 0x80) return size
  }
  throw new SnappyError("not_snappy")
}

/** Decompresses what declares at most `maxBytes`. Throws {@link SnappyError}. */
export const uncompress = (compressed: Uint8Array, maxBytes: number): Uint8Array => {
  const declared = declaredSize(compressed)
  if (declared > maxBytes) throw new SnappyError("too_large")
  // Ten bytes that declare megabytes would have them allocated first.
  if (declared > compressed.length * MOST_BYTES_PER_BYTE) throw new SnappyError("overstated")
  try {
    const plain = snappy.uncompressSync(compressed, COPY)
    // A Buffer's `slice` copies nothing, and whoever keeps a part of an answer relies on copies.
    if (typeof plain !== "string") {
      const bytes = new Uint8Array(plain.buffer, plain.byteOffset, plain.length)
      ownMemory(bytes)
      return bytes
    }
  } catch {
    // The library tells of no other reason.
  }
  throw new SnappyError("not_snappy")
}
