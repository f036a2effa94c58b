/**
 * Compression of messages (EIP-706: snappy's block format, from p2p version 5 on).
 *
 * The size that the compressed bytes declare is read first, so that a small message can never
 * become a large allocation. What is decompressed lies in memory of its own.
 */
import snappy from "snappy"

/** Bytes that are no snappy, or declare more than is allowed; their sender is to blame. */
export class SnappyError extends Error {
  override readonly name = "SnappyError"
  readonly reason: "not_snappy" | "too_large"

  constructor(reason: "not_snappy" | "too_large") {
    super(`snappy: ${reason}`)
    this.reason = reason
  }
}

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
  if (declaredSize(compressed) > maxBytes) throw new SnappyError("too_large")
  try {
    const plain = snappy.uncompressSync(compressed, COPY)
    if (typeof plain !== "string") return plain
  } catch {
    // The library tells of no other reason.
  }
  throw new SnappyError("not_snappy")
}
