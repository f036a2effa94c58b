/** What liars and other bad devnet peers say, and what the checks of an ingest make of it. */
import { assert, describe, it } from "@effect/vitest"
import { RLP } from "@ethereumjs/rlp"
import { FastCheck as fc } from "effect"
import { answerItems } from "../../src/devnet/answers.ts"
import { announce, BOAST_BLOCKS, type FaultKind, react } from "../../src/devnet/faults.ts"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import { type Asked, lieAbout, type LieKind, lieKinds } from "../../src/devnet/lies.ts"
import { readHeader } from "../../src/domain/header.ts"
import { carriedBloom, receiptsBloom } from "../../src/domain/receipts.ts"
import { checkHeaders } from "../../src/fetch/checkHeaders.ts"
import { checkBlock } from "../../src/process/checkBlock.ts"
import { checks } from "../../src/process/checks.ts"
import type { EthRequest } from "../../src/wire/ethMessages.ts"
import { ETH_VERSIONS, type EthVersion } from "../../src/wire/hello.ts"
import { statusOf } from "../wire/support.ts"

const light = generateChain({ blocks: 12, shape: "light", seed: 5 })
const tiny = generateChain({ blocks: 40, shape: "tiny", seed: 5 })
const hashes = (numbers: ReadonlyArray<number>, chain = light) =>
  numbers.map((number) => chain.hashAt(number)!)

const headersRequest = (start: number, limit: number): EthRequest => ({
  _tag: "GetBlockHeaders",
  requestId: 1n,
  start,
  limit,
  skip: 0,
  reverse: false,
})
const bodiesRequest = (numbers: ReadonlyArray<number>, chain = light): EthRequest => ({
  _tag: "GetBlockBodies",
  requestId: 1n,
  hashes: hashes(numbers, chain),
})
const receiptsRequest = (numbers: ReadonlyArray<number>, chain = light): EthRequest => ({
  _tag: "GetReceipts",
  requestId: 1n,
  hashes: hashes(numbers, chain),
  firstBlockReceiptIndex: 0,
})

/** What an honest peer says, and what a liar makes of it. */
const said = (lie: LieKind, version: EthVersion, request: EthRequest, chain = light) => {
  const asked: Asked = { chain, version, request }
  const honest = answerItems(chain, version, request)
  return { honest: honest.items, told: lieAbout(lie, asked, honest).items }
}

const same = (a: ReadonlyArray<Uint8Array>, b: ReadonlyArray<Uint8Array>): boolean =>
  a.length === b.length && a.every((item, at) => Buffer.from(item).equals(b[at]!))

const altersHeaders = (lie: LieKind): boolean => lie === "lie-header"
const altersBodies = (lie: LieKind): boolean =>
  lie === "lie-body" || lie === "lie-withdrawal" || lie === "lie-other"
const altersReceipts = (lie: LieKind): boolean =>
  !altersHeaders(lie) && (!altersBodies(lie) || lie === "lie-other")

/** What the checks say of one block whose parts came from a liar. */
const verdictOn = (lie: LieKind, version: EthVersion, number: number): string => {
  const header = said(lie, version, headersRequest(number, 1)).honest[0]!
  const result = checkBlock(
    {
      blockNumber: number,
      hash: light.hashAt(number)!,
      header,
      body: said(lie, version, bodiesRequest([number])).told[0]!.slice(),
      receipts: said(lie, version, receiptsRequest([number])).told[0]!.slice(),
      receiptsForm: version === 68 ? 68 : 69,
    },
    new Set(checks),
  )
  return result._tag === "Passed" ? "passed" : `${result.part}: ${result.what}`
}

const caught: Record<LieKind, string> = {
  "lie-header": "passed",
  "lie-body": "body: transactions_root",
  "lie-withdrawal": "body: withdrawals_root",
  "lie-receipt": "receipts: receipts_root",
  "lie-log": "receipts: receipts_root",
  "lie-swap": "receipts: receipts_root",
  "lie-drop-log": "receipts: receipts_root",
  "lie-other": "body: transactions_root",
  "lie-other-receipts": "receipts: receipts_root",
}

describe("a named lie", () => {
  for (const lie of lieKinds) {
    it(`${lie} alters every item that it is about, and no other answer, on all versions`, () => {
      for (const version of ETH_VERSIONS) {
        const numbers = [1, 2, 3, 11, 12]
        for (const [request, alters] of [
          [headersRequest(1, 12), altersHeaders(lie)],
          [bodiesRequest(numbers), altersBodies(lie)],
          [receiptsRequest(numbers), altersReceipts(lie)],
        ] as const) {
          const { honest, told } = said(lie, version, request)
          assert.strictEqual(told.length, honest.length)
          for (const [at, item] of told.entries()) {
            assert.strictEqual(same([item], [honest[at]!]), !alters, `${request._tag} ${at}`)
            assert.doesNotThrow(() => RLP.decode(item))
          }
        }
      }
    })

    it(`${lie} is found out by what it breaks, and by nothing before that`, () => {
      for (const version of ETH_VERSIONS) {
        for (const number of [1, 6, 12]) {
          assert.strictEqual(verdictOn(lie, version, number), caught[lie])
        }
      }
    })

    it(`${lie} leaves alone what has nothing to alter, and never throws`, () => {
      for (const version of ETH_VERSIONS) {
        const empty = [...tiny.numbers].filter((number) => tiny.bodyAt(number)!.length <= 4)
        assert.isAbove(empty.length, 3)
        for (const number of tiny.numbers) {
          const bodies = said(lie, version, bodiesRequest([number], tiny), tiny)
          const receipts = said(lie, version, receiptsRequest([number], tiny), tiny)
          if (lie.startsWith("lie-other") || !empty.includes(number)) continue
          assert.isTrue(same(bodies.told, bodies.honest))
          assert.isTrue(same(receipts.told, receipts.honest))
        }
      }
    })
  }

  it("of a header breaks the link to the next one and not its form", () => {
    const { told } = said("lie-header", 70, headersRequest(3, 4))
    assert.deepEqual(
      told.map((header) => readHeader(header).number),
      [3, 4, 5, 6],
    )
    assert.include(checkHeaders(3, told), { blockNumber: 4, what: "parent_hash" })
  })

  it("about logs carries blooms that fit them over eth/68", () => {
    for (const lie of ["lie-log", "lie-drop-log", "lie-receipt"] as const) {
      for (const list of said(lie, 68, receiptsRequest([1, 5, 12])).told) {
        assert.deepEqual(carriedBloom(list), receiptsBloom(list, 68))
      }
    }
  })

  it("tells the same to the same question, and does not touch the chain", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...lieKinds),
        fc.constantFrom(...ETH_VERSIONS),
        fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { minLength: 1 }),
        (lie, version, numbers) => {
          const ask = () => said(lie, version, receiptsRequest(numbers))
          const first = ask()
          const second = ask()
          assert.isTrue(same(first.told, second.told) && same(first.honest, second.honest))
        },
      ),
    )
  })
})

const items = (fault: FaultKind, request: EthRequest): ReadonlyArray<Uint8Array> => {
  const honest = answerItems(light, 69, request)
  const reaction = react(fault, { chain: light, version: 69, request }, 1, honest)
  assert(reaction._tag === "Answer")
  return reaction.answer.items
}

describe("a peer that has less than it seems", () => {
  it("serves headers and bodies and no receipts, when it is bodies-only", () => {
    assert.strictEqual(items("bodies-only", headersRequest(1, 12)).length, 12)
    assert.strictEqual(items("bodies-only", bodiesRequest([1, 2, 3])).length, 3)
    assert.strictEqual(items("bodies-only", receiptsRequest([1, 2, 3])).length, 0)
  })

  it("announces more than its head, and has only headers of its lower half, when it boasts", () => {
    const status = announce("boast", statusOf(70))
    assert.include(status, { earliestBlock: 0, latestBlock: 100 + BOAST_BLOCKS })
    assert.deepEqual(announce("boast", statusOf(68)), statusOf(68))
    assert.deepEqual(announce("lie", statusOf(70)), statusOf(70))
    assert.strictEqual(items("boast", headersRequest(0, 13)).length, 13)
    assert.strictEqual(items("boast", bodiesRequest([5, 6, 7, 12])).length, 3)
    assert.strictEqual(items("boast", receiptsRequest([1, 2, 11])).length, 1)
  })
})
