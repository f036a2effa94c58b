import { readdirSync, readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { fromHex, toHex } from "../../src/domain/hex.ts"
import { encodeBytes, encodeList, encodeUint, RlpError } from "../../src/domain/rlp.ts"
import {
  decodeBlockRangeUpdate,
  decodeGetBlockBodies,
  decodeGetBlockHeaders,
  decodeGetReceipts,
  decodeItems,
  decodeReceipts,
  decodeRequestId,
  decodeStatus,
  encodeBlockRangeUpdate,
  encodeGetBlockBodies,
  encodeGetBlockHeaders,
  encodeGetReceipts,
  encodeItems,
  encodeReceipts,
  encodeStatus,
  ETH,
  type EthRequest,
  type Status,
} from "../../src/wire/ethMessages.ts"
import { ETH_VERSIONS, type EthVersion } from "../../src/wire/hello.ts"
import { fixture, fixturesDir } from "../support/fixtures.ts"

const hash = fc.uint8Array({ minLength: 32, maxLength: 32 })
const forkHash = fc.uint8Array({ minLength: 4, maxLength: 4 })
const uint = fc.nat(Number.MAX_SAFE_INTEGER)
const uint64 = fc.bigInt(0n, 2n ** 64n - 1n)
const version = fc.constantFrom<EthVersion>(68, 69, 70)
const limit = fc.nat(2_000)
const item = fc
  .array(fc.uint8Array({ maxLength: 5 }), { maxLength: 5 })
  .map((fields) => encodeList(fields.map(encodeBytes)))
const items = fc.array(item, { maxLength: 10 })

const status = fc.oneof<Array<fc.Arbitrary<Status>>>(
  fc.record({
    version: fc.constant(68 as const),
    networkId: uint64,
    totalDifficulty: fc.bigInt(0n, 2n ** 100n),
    bestHash: hash,
    genesisHash: hash,
    forkHash,
    forkNext: uint64,
  }),
  fc.record({
    version: fc.constantFrom<69 | 70>(69, 70),
    networkId: uint64,
    genesisHash: hash,
    forkHash,
    forkNext: uint64,
    earliestBlock: uint,
    latestBlock: uint,
    latestBlockHash: hash,
  }),
)

/** A request as it goes over the wire. */
const encodeRequest = (on: EthVersion, request: EthRequest): Uint8Array => {
  if (request._tag === "GetBlockHeaders") return encodeGetBlockHeaders(request.requestId, request)
  if (request._tag === "GetBlockBodies") {
    return encodeGetBlockBodies(request.requestId, request.hashes)
  }
  return encodeGetReceipts(on, request.requestId, request.hashes, request.firstBlockReceiptIndex)
}

/** What a message says, said again. */
const again = (on: EthVersion, code: number, payload: Uint8Array): Uint8Array => {
  switch (code) {
    case ETH.status:
      return encodeStatus(decodeStatus(on, payload))
    case ETH.getBlockHeaders:
      return encodeRequest(on, decodeGetBlockHeaders(payload))
    case ETH.getBlockBodies:
      return encodeRequest(on, decodeGetBlockBodies(payload))
    case ETH.getReceipts:
      return encodeRequest(on, decodeGetReceipts(on, payload))
    case ETH.blockHeaders:
    case ETH.blockBodies: {
      const answer = decodeItems(payload)
      return encodeItems(answer.requestId, answer.items)
    }
    case ETH.receipts: {
      const answer = decodeReceipts(on, payload)
      return encodeReceipts(on, answer.requestId, answer.items, answer.lastBlockIncomplete)
    }
    case ETH.blockRangeUpdate:
      return encodeBlockRangeUpdate(decodeBlockRangeUpdate(payload))
    default:
      return assert.fail(`a code that nobody decodes: ${code}`)
  }
}

describe("eth messages", () => {
  it("carry Status of each version", () => {
    fc.assert(
      fc.property(status, (each) =>
        assert.deepEqual(decodeStatus(each.version, encodeStatus(each)), each),
      ),
    )
  })

  it("refuse a Status of another version than was agreed on", () => {
    fc.assert(
      fc.property(status, version, (each, on) => {
        fc.pre(each.version !== on)
        assert.throws(() => decodeStatus(on, encodeStatus(each)), RlpError)
      }),
    )
  })

  it("carry GetBlockHeaders by number and by hash", () => {
    const query = fc.record({
      start: fc.oneof(uint, hash),
      limit,
      skip: limit,
      reverse: fc.boolean(),
    })
    fc.assert(
      fc.property(uint64, query, (requestId, each) =>
        assert.deepEqual(decodeGetBlockHeaders(encodeGetBlockHeaders(requestId, each)), {
          _tag: "GetBlockHeaders",
          requestId,
          ...each,
        }),
      ),
    )
  })

  it("carry GetBlockBodies and GetReceipts, from a receipt on only with eth/70", () => {
    fc.assert(
      fc.property(version, uint64, fc.array(hash), uint, (on, requestId, hashes, from) => {
        assert.deepEqual(decodeGetBlockBodies(encodeGetBlockBodies(requestId, hashes)), {
          _tag: "GetBlockBodies",
          requestId,
          hashes,
        })
        assert.deepEqual(decodeGetReceipts(on, encodeGetReceipts(on, requestId, hashes, from)), {
          _tag: "GetReceipts",
          requestId,
          hashes,
          firstBlockReceiptIndex: on === 70 ? from : 0,
        })
      }),
    )
  })

  it("carry the items of answers untouched", () => {
    fc.assert(
      fc.property(version, uint64, items, fc.boolean(), (on, requestId, each, incomplete) => {
        const plain = { requestId, items: each, lastBlockIncomplete: false }
        assert.deepEqual(decodeItems(encodeItems(requestId, each)), plain)
        assert.deepEqual(decodeReceipts(on, encodeReceipts(on, requestId, each, incomplete)), {
          ...plain,
          lastBlockIncomplete: on === 70 && incomplete,
        })
        assert.strictEqual(decodeRequestId(encodeItems(requestId, each)), requestId)
      }),
    )
  })

  it("carry BlockRangeUpdate", () => {
    const range = fc.record({ earliestBlock: uint, latestBlock: uint, latestBlockHash: hash })
    fc.assert(
      fc.property(range, (each) =>
        assert.deepEqual(decodeBlockRangeUpdate(encodeBlockRangeUpdate(each)), each),
      ),
    )
  })

  it("have the bytes of the specification", () => {
    const query = { start: 2_000, limit: 1, skip: 0, reverse: false }
    assert.strictEqual(toHex(encodeGetBlockHeaders(1n, query)), "c801c68207d0018080")
    assert.strictEqual(toHex(encodeReceipts(70, 9n, [fromHex("c0")], true)), "c40901c1c0")
    assert.strictEqual(toHex(encodeReceipts(69, 9n, [fromHex("c0")], true)), "c309c1c0")
  })

  it("refuse items that are no lists, and bytes after the message", () => {
    const bad = encodeList([encodeUint(1), encodeList([encodeUint(7)])])
    assert.throws(() => decodeItems(bad), RlpError)
    const longer = Uint8Array.of(...encodeItems(1n, []), 0)
    assert.throws(() => decodeItems(longer), RlpError)
  })

  it("of arbitrary bytes throw nothing but RlpError", () => {
    const noise = fc.uint8Array({ maxLength: 80 })
    const framed = fc.array(noise, { maxLength: 8 }).map((each) => encodeList(each))
    const codes = fc.constantFrom<number>(0, 3, 4, 5, 6, 0x0f, 0x10, 0x11)
    fc.assert(
      fc.property(version, codes, fc.oneof(noise, framed), (on, code, bytes) => {
        try {
          again(on, code, bytes)
        } catch (error) {
          assert.instanceOf(error, RlpError)
        }
      }),
      { numRuns: 5_000 },
    )
  })
})

describe.skipIf(fixturesDir === undefined)("messages recorded from geth", () => {
  const files = fixturesDir === undefined ? [] : readdirSync(fixture("wire"))

  it("are there for each version", () => {
    for (const on of [68, 69, 70]) assert.isTrue(files.some((file) => file.includes(`eth${on}`)))
  })

  it.each(files)("decode and re-encode byte for byte: %s", (file) => {
    const on = ETH_VERSIONS.find((each) => file.includes(`.eth${each}.`))!
    const bytes = readFileSync(fixture(`wire/${file}`))
    const text = (file.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8")
    const seen = new Set<number>()
    for (const line of text.split("\n").filter((each) => each !== "")) {
      const message: { code: number; payload: string } = JSON.parse(line)
      const { code, payload } = message
      seen.add(code)
      assert.isTrue(toHex(again(on, code, Buffer.from(payload, "hex"))) === payload, `code ${code}`)
    }
    for (const code of [ETH.status, ETH.blockHeaders, ETH.blockBodies, ETH.receipts]) {
      assert.isTrue(seen.has(code), `no message of code ${code} in the file`)
    }
  })
})
