/** Payloads packed and unpacked: nothing is lost, and what was damaged is found to be. */
import { createRequire } from "node:module"
import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import {
  MOST_PACKED_BYTES,
  NO_COMPRESSION,
  packParts,
  type PackedParts,
  type PayloadParts,
  PLAIN_CODEC,
  unpackParts,
  ZSTD_CODEC,
} from "../../src/write/payloadCodec.ts"
import { compress, compressBound, contentLength, decompress } from "../../src/write/zstd.ts"
import { PAYLOAD_LEVEL, type ZstdLibrary } from "../../src/write/zstdLibrary.ts"
import { loadNativeZstd } from "../../src/write/zstdNative.ts"
import { loadWasmZstd } from "../../src/write/zstdWasm.ts"
import { arbitraryPayload } from "../support/arbitraryBlocks.ts"

const wasm = await loadWasmZstd()
const native = loadNativeZstd()
const libraries: ReadonlyArray<{ name: string; library: ZstdLibrary }> = [
  { name: "wasm", library: wasm },
  ...(native === undefined ? [] : [{ name: "native", library: native }]),
]

const generated = generateChain({ blocks: 2, shape: "mainnet", seed: 3 })
const partsOf = (blockNumber: number): PayloadParts => ({
  body: generated.bodyAt(blockNumber)!,
  receipts: generated.receipts69At(blockNumber)!,
})
const mainnet = partsOf(1)

/** Bytes with repetitions in them, as payloads have: random ones alone are never packed. */
const someBytes = fc
  .array(fc.tuple(fc.uint8Array({ maxLength: 60 }), fc.integer({ min: 1, max: 40 })), {
    maxLength: 12,
  })
  .map((pieces) =>
    Uint8Array.from(
      pieces.flatMap(([bytes, times]) => Array.from({ length: times }, () => [...bytes]).flat()),
    ),
  )
const someParts: fc.Arbitrary<PayloadParts> = fc.record({ body: someBytes, receipts: someBytes })
const levels = fc.constantFrom(NO_COMPRESSION, PAYLOAD_LEVEL, 3, 9)

const same = (actual: PayloadParts | undefined, expected: PayloadParts): boolean =>
  actual !== undefined &&
  Buffer.compare(actual.body, expected.body) === 0 &&
  Buffer.compare(actual.receipts, expected.receipts) === 0

const frameOf = (bytes: Uint8Array, library: ZstdLibrary, level = PAYLOAD_LEVEL): Uint8Array => {
  const into = new Uint8Array(compressBound(bytes.length))
  return into.subarray(0, compress(into, bytes, level, library))
}

/** A packed block with some of its bytes changed, cut off or added. */
const damaged = (whole: Uint8Array): fc.Arbitrary<Uint8Array> =>
  fc.oneof(
    fc
      .array(fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 })), {
        minLength: 1,
        maxLength: 5,
      })
      .map((changes) => {
        const bytes = Uint8Array.from(whole)
        for (const [at, change] of changes) bytes[at]! ^= change
        return bytes
      }),
    // The frame's header is where lengths are declared.
    fc.tuple(fc.nat(17), fc.nat(255)).map(([at, byte]) => {
      const bytes = Uint8Array.from(whole)
      bytes[at] = byte
      return bytes
    }),
    fc.nat(whole.length - 1).map((length) => whole.slice(0, length)),
    fc.uint8Array({ minLength: 1, maxLength: 20 }).map((more) => Uint8Array.of(...whole, ...more)),
  )

describe("packing a payload", () => {
  it("gives back any bytes as they were, at any level", () => {
    fc.assert(
      fc.property(someParts, levels, (parts, level) => {
        assert.isTrue(same(unpackParts(packParts(parts, level)), parts))
      }),
      { numRuns: 1000 },
    )
  })

  it("gives back any block as it was", () => {
    fc.assert(
      fc.property(arbitraryPayload, (payload) => {
        assert.isTrue(same(unpackParts(packParts(payload)), payload))
      }),
      { numRuns: 300 },
    )
  })

  it("takes body and receipts that lie one behind the other as well as apart", () => {
    const { body, receipts } = mainnet
    const together = new Uint8Array([7, ...body, ...receipts, 9])
    const split = 1 + body.length
    const views = {
      body: together.subarray(1, split),
      receipts: together.subarray(split, split + receipts.length),
    }
    assert.deepEqual(packParts(views), packParts(mainnet))
    assert.isTrue(same(unpackParts(packParts(views)), mainnet))
  })

  it("halves a block of mainnet's shape", () => {
    const { body, receipts, codec } = packParts(mainnet)
    assert.strictEqual(codec, ZSTD_CODEC)
    assert.strictEqual(receipts.length, 0)
    assert.isBelow(body.length / (mainnet.body.length + mainnet.receipts.length), 0.5)
  })

  it("gives bytes of their own, which the next block does not overwrite", () => {
    const first = packParts(mainnet)
    packParts(partsOf(2))
    assert.isTrue(same(unpackParts(first), mainnet))
  })

  it("keeps as they are: empty blocks, what does not get shorter, what is too long", () => {
    const empty = { body: Uint8Array.of(0xc2, 0xc0, 0xc0), receipts: Uint8Array.of(0xc0) }
    const noise = new Uint8Array(10_000)
    crypto.getRandomValues(noise)
    const long = new Uint8Array(MOST_PACKED_BYTES)
    for (const parts of [
      empty,
      { body: noise, receipts: empty.receipts },
      { body: long, receipts: empty.receipts },
    ]) {
      const packed = packParts(parts)
      assert.strictEqual(packed.codec, PLAIN_CODEC)
      assert.strictEqual(packed.body, parts.body)
      assert.strictEqual(packed.receipts, parts.receipts)
    }
  })

  it("reads blocks that were kept plain, and refuses a form that it does not know", () => {
    assert.isTrue(same(unpackParts({ ...mainnet, codec: PLAIN_CODEC }), mainnet))
    assert.isUndefined(unpackParts({ ...mainnet, codec: 2 }))
    assert.isUndefined(unpackParts({ ...packParts(mainnet), codec: 9 }))
  })
})

describe("a packed payload that was damaged", () => {
  const small = packParts({
    body: mainnet.body.subarray(0, 2_000),
    receipts: mainnet.receipts.subarray(0, 3_000),
  })

  it("gives nothing, or bytes, but never throws", () => {
    fc.assert(
      fc.property(damaged(small.body), (body) => {
        const parts = unpackParts({ ...small, body })
        const length = (parts?.body.length ?? 0) + (parts?.receipts.length ?? 0)
        assert.isAtMost(length, MOST_PACKED_BYTES)
      }),
      { numRuns: 3000 },
    )
  })

  it("never throws for bytes that are none of ours", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.boolean(), (noise, framed) => {
        const magic = framed ? [0, 0, 0, 0, 0x28, 0xb5, 0x2f, 0xfd] : []
        const body = Uint8Array.of(...magic, ...noise)
        const parts = unpackParts({ body, receipts: new Uint8Array(0), codec: ZSTD_CODEC })
        assert.isAtMost(parts?.body.length ?? 0, MOST_PACKED_BYTES)
      }),
      { numRuns: 3000 },
    )
  })

  it("is not unpacked with receipts beside it", () => {
    assert.isUndefined(unpackParts({ ...small, receipts: Uint8Array.of(0xc0) }))
  })

  it.skipIf(native === undefined)(
    "is found by its checksum wherever a byte of its content changes",
    () => {
      const frame = frameOf(mainnet.body, native!)
      const content = decompress(frame, MOST_PACKED_BYTES, native)
      assert.deepEqual(content, mainnet.body)
      fc.assert(
        // From behind the frame's header on.
        fc.property(fc.integer({ min: 9, max: frame.length - 1 }), fc.nat(7), (at, bit) => {
          const bytes = Uint8Array.from(frame)
          bytes[at]! ^= 1 << bit
          const read = decompress(bytes, MOST_PACKED_BYTES, native)
          // A match may as well point to another place that holds the same bytes.
          if (read !== undefined) assert.deepEqual(read, content)
        }),
        { numRuns: 500 },
      )
    },
  )
})

describe.each(libraries)("zstd by $name", ({ library }) => {
  it("is read by every other", () => {
    fc.assert(
      fc.property(someBytes, fc.constantFrom(PAYLOAD_LEVEL, 3), (bytes, level) => {
        const frame = frameOf(bytes, library, level)
        assert.strictEqual(contentLength(frame), bytes.length)
        for (const { library: reader } of libraries) {
          assert.deepEqual(decompress(frame, bytes.length, reader), bytes)
        }
      }),
      { numRuns: 300 },
    )
  })

  it("reads frames of every width of the field with their length", () => {
    for (const length of [0, 1, 255, 256, 65_791, 65_792, 1_000_000]) {
      const bytes = new Uint8Array(length).fill(5)
      const frame = frameOf(bytes, library)
      assert.strictEqual(contentLength(frame), length)
      assert.deepEqual(decompress(frame, length, library), bytes)
      if (length > 0) assert.isUndefined(decompress(frame, length - 1, library))
    }
  })

  it("allocates nothing for a length that is only declared", () => {
    const magic = [0x28, 0xb5, 0x2f, 0xfd]
    const rle = [0x03, 0x00, 0x00, 0x00]
    const gigabytes = Uint8Array.of(...magic, 0xe0, 0, 0, 0, 0xff, 0, 0, 0, 0, ...rle)
    const absurd = Uint8Array.of(...magic, 0xe0, ...Array<number>(8).fill(0xff), ...rle)
    for (const frame of [gigabytes, absurd]) {
      const before = process.memoryUsage().arrayBuffers
      assert.isUndefined(decompress(frame, MOST_PACKED_BYTES, library))
      assert.isBelow(process.memoryUsage().arrayBuffers - before, 1024 * 1024)
    }
  })

  it("goes on after a damaged frame", () => {
    const frame = frameOf(mainnet.receipts, library)
    for (let at = 4; at < frame.length; at += 997) {
      decompress(frame.subarray(0, at), MOST_PACKED_BYTES, library)
    }
    assert.deepEqual(decompress(frame, MOST_PACKED_BYTES, library), mainnet.receipts)
  })
})

describe("the zstd in use", () => {
  it("is the native one where its package is there", () => {
    const packed: PackedParts = packParts(mainnet)
    const load = createRequire(import.meta.url)
    const installed = ((): boolean => {
      try {
        load("zstd-napi/binding.js")
        return true
      } catch {
        return false
      }
    })()
    // Only the native one writes checksums: bit 2 of the frame's descriptor.
    assert.strictEqual((packed.body[8]! & 4) !== 0, installed)
  })
})
