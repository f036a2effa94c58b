/** What the store's columns hold of a payload, and the zstd frames in them, by both libraries. */
import { receipts68To69 } from "../../../src/domain/receipts.ts"
import { packParts, unpackParts } from "../../../src/write/payloadCodec.ts"
import { contentLength, decompress } from "../../../src/write/zstd.ts"
import { loadWasmZstd } from "../../../src/write/zstdWasm.ts"
import { agree, agreeBytes, type FuzzTarget } from "../target.ts"

const wasm = await loadWasmZstd()
const LIMIT_BYTES = 1024 * 1024
const NOTHING = new Uint8Array(0)

export const payloadCodec: FuzzTarget = {
  name: "payload-codec",
  kind: "bytes",
  // A damaged row may declare up to 64 MiB, and has that much memory for a moment.
  growthMib: 160,
  cpuMs: 200,
  seeds: ({ blocks }) => [
    ...blocks
      .slice(0, 20)
      .map(({ body, receipts }) => packParts({ body, receipts: receipts68To69(receipts) }).body),
    packParts({ body: new Uint8Array(300), receipts: NOTHING }).body,
    packParts({ body: new Uint8Array(LIMIT_BYTES), receipts: new Uint8Array(9).fill(1) }).body,
  ],
  run: (input) => {
    const frame = input.subarray(4)
    const native = decompress(frame, LIMIT_BYTES)
    const other = decompress(frame, LIMIT_BYTES, wasm)
    agree((native === undefined) === (other === undefined), "both libraries read the same frames")
    if (native !== undefined && other !== undefined) {
      agreeBytes(other, native, "both libraries read the same bytes")
      agree(native.length === contentLength(frame), "as long as declared")
    }
    for (const codec of [0, 1, 2]) {
      unpackParts({ codec, body: input, receipts: NOTHING })
      unpackParts({ codec, body: NOTHING, receipts: input })
    }
    const cut = (input[0] ?? 0) % (input.length + 1)
    const parts = { body: input.subarray(0, cut), receipts: input.subarray(cut) }
    const back = unpackParts(packParts(parts))
    agree(back !== undefined, "what was packed can be unpacked")
    agreeBytes(back.body, parts.body, "the body that was packed")
    agreeBytes(back.receipts, parts.receipts, "the receipts that were packed")
  },
}
