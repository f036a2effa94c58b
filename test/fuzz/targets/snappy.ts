/** Compression of messages: nothing grows beyond its limit. */
import { compress, declaredSize, SnappyError, uncompress } from "../../../src/wire/snappyMessage.ts"
import { agree, agreeBytes, attempt, type FuzzTarget } from "../target.ts"

const LIMIT_BYTES = 1024 * 1024

export const snappy: FuzzTarget = {
  name: "snappy",
  kind: "bytes",
  seeds: ({ messages }) => [
    ...messages.slice(0, 60).map(({ payload }) => compress(payload)),
    // As large as is allowed, and a byte larger.
    compress(new Uint8Array(LIMIT_BYTES)),
    compress(new Uint8Array(LIMIT_BYTES + 1)),
    Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f),
    new Uint8Array(0),
  ],
  run: (input) => {
    const size = attempt(() => declaredSize(input), SnappyError)
    const plain = attempt(() => uncompress(input, LIMIT_BYTES), SnappyError)
    if (plain !== undefined) {
      agree(plain.length === size && size <= LIMIT_BYTES, "as long as declared, and bounded")
    }
    agreeBytes(uncompress(compress(input), input.length), input, "there and back again")
  },
}
