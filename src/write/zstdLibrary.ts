/** What a zstd library has to offer; `zstd.ts` chooses one. */

/** The level that stands for our own choice of parameters, in place of zstd's level 1. */
export const PAYLOAD_LEVEL = 1

/** See the module. */
export interface ZstdLibrary {
  /**
   * Writes a frame of `from`, which declares its content's length, into `into`, and gives the
   * frame's length; `into` has room for the longest that it can become. `level` is
   * {@link PAYLOAD_LEVEL}, or zstd's own: 2 to 19.
   */
  readonly compress: (into: Uint8Array, from: Uint8Array, level: number) => number
  /**
   * Writes the content of a frame into `into`, whose length is what the frame declares, and gives
   * the content's length. Throws where the frame is damaged.
   */
  readonly decompress: (into: Uint8Array, frame: Uint8Array) => number
}
