import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { encodeBytes, encodeList, encodeUint } from "../../src/domain/rlp.ts"
import { orderedTrieRoot } from "../../src/domain/trieRoot.ts"
import { receipts68To69, receiptsRoot } from "../../src/domain/receipts.ts"
import { checkBlock, type UncheckedBlock } from "../../src/process/checkBlock.ts"
import type { Check } from "../../src/process/checks.ts"
import {
  ALL_CHECKS,
  blockOf,
  FIELD,
  flipped,
  forged,
  goodBlock,
  itemsOf,
  lightChain,
  withItem,
} from "./goodBlock.ts"

const FORMS = [68, 69] as const
const NO_CHECKS: ReadonlySet<Check> = new Set()
const only = (...checks: ReadonlyArray<Check>): ReadonlySet<Check> => new Set(checks)

/** "passed", or the part that is blamed and what for. */
const verdict = (block: UncheckedBlock, checks: ReadonlySet<Check>): string => {
  const outcome = checkBlock(block, checks)
  if (outcome._tag === "Passed") return "passed"
  assert.notStrictEqual(outcome.expected, outcome.actual)
  return `${outcome.part} ${outcome.what}`
}

/** Alters one of the three lists of a body. */
const inBody = (
  block: UncheckedBlock,
  list: number,
  change: (items: Array<Uint8Array>) => ReadonlyArray<Uint8Array>,
): UncheckedBlock => ({
  ...block,
  body: withItem(block.body, list, (items) => encodeList(change(itemsOf(items)))),
})

const inReceipts = (
  block: UncheckedBlock,
  change: (items: Array<Uint8Array>) => ReadonlyArray<Uint8Array>,
): UncheckedBlock => ({ ...block, receipts: encodeList(change(itemsOf(block.receipts))) })

/** The first receipt with logs in form 69, with its logs changed. */
const inLogs = (
  block: UncheckedBlock,
  change: (logs: Array<Uint8Array>) => ReadonlyArray<Uint8Array>,
): UncheckedBlock => {
  const items = itemsOf(block.receipts)
  const at = items.findIndex((receipt) => itemsOf(itemsOf(receipt)[3]!).length > 0)
  return inReceipts(block, (receipts) =>
    receipts.with(
      at,
      withItem(receipts[at]!, 3, (logs) => encodeList(change(itemsOf(logs)))),
    ),
  )
}

const swapFirstTwo = (items: Array<Uint8Array>): ReadonlyArray<Uint8Array> => [
  items[1]!,
  items[0]!,
  ...items.slice(2),
]

describe("checkBlock", () => {
  it("passes good blocks in both forms and counts what is in them", () => {
    for (const number of lightChain.numbers) {
      for (const form of FORMS) {
        assert.deepEqual(checkBlock(blockOf(lightChain, number, form)!, ALL_CHECKS), {
          _tag: "Passed",
          blockNumber: number,
          transactionCount: number === 0 ? 0 : 10,
          logCount: number === 0 ? 0 : 20,
        })
      }
    }
  })

  it("passes no block with any byte altered, and blames the part that it is in", () => {
    const alteration = fc.tuple(
      fc.constantFrom(...FORMS),
      fc.constantFrom("header" as const, "body" as const, "receipts" as const),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
    )
    fc.assert(
      fc.property(alteration, ([form, part, at, mask]) => {
        const block = goodBlock(form)
        const bytes = flipped(block[part], at % block[part].length, mask)
        assert.match(verdict({ ...block, [part]: bytes }, ALL_CHECKS), new RegExp(`^${part} `))
      }),
      { numRuns: 3000 },
    )
  })

  it("throws nothing, whatever the bytes and the checks", () => {
    const parts = fc.array(fc.tuple(fc.nat(2), fc.nat(), fc.nat(255)), { maxLength: 4 })
    const checks = fc.subarray([...ALL_CHECKS])
    fc.assert(
      fc.property(
        parts,
        checks,
        fc.constantFrom(...FORMS),
        fc.nat(),
        (changes, some, form, cut) => {
          const block = goodBlock(form)
          const bytes = [
            new Uint8Array(block.header),
            new Uint8Array(block.body),
            new Uint8Array(block.receipts),
          ]
          for (const [part, at, byte] of changes) bytes[part]![at % bytes[part]!.length] = byte
          const receipts = bytes[2]!.subarray(0, cut % 3 === 0 ? cut % bytes[2]!.length : undefined)
          const outcome = checkBlock(
            { ...block, header: bytes[0]!, body: bytes[1]!, receipts },
            new Set(some),
          )
          assert.include(["Passed", "Failed"], outcome._tag)
        },
      ),
      { numRuns: 2000 },
    )
  })

  describe("blames the header for", () => {
    it("another hash, another number, and what is no header", () => {
      const block = goodBlock(69)
      const other = { ...block, hash: lightChain.hashAt(6)! }
      assert.strictEqual(verdict(other, NO_CHECKS), "header hash")
      assert.strictEqual(verdict({ ...block, blockNumber: 6 }, NO_CHECKS), "header number")
      const garbage = forged(block, FIELD.number, () => encodeBytes(new Uint8Array(9)))
      assert.strictEqual(verdict(garbage, NO_CHECKS), "header encoding")
    })

    it("contradicting the receipts that it commits to itself", () => {
      for (const form of FORMS) {
        const block = goodBlock(form)
        const bloom = forged(block, FIELD.logsBloom, (item) => flipped(item, 100))
        assert.strictEqual(verdict(bloom, ALL_CHECKS), "header logs_bloom")
        const gas = forged(block, FIELD.gasUsed, () => encodeUint(21_000))
        assert.strictEqual(verdict(gas, ALL_CHECKS), "header gas_used")
      }
    })

    it("committing to transactions and receipts that do not go together", () => {
      const block = goodBlock(69)
      const fewer = inBody(block, 0, (items) => items.slice(0, -1))
      const values = itemsOf(itemsOf(fewer.body)[0]!).map((item) =>
        item[0]! >= 0xc0 ? item : itemsOf(encodeList([item])).map(payloadOf)[0]!,
      )
      const header = forged(fewer, FIELD.transactionsRoot, () =>
        encodeBytes(orderedTrieRoot(values)),
      )
      assert.strictEqual(verdict(header, ALL_CHECKS), "header receipt_count")
    })

    it("committing to receipts whose gas falls, or whose blooms are not those of their logs", () => {
      const block = goodBlock(69)
      const falling = inReceipts(block, (items) => {
        const gas = itemsOf(items[1]!)[2]!
        const second = withItem(items[1]!, 2, () => itemsOf(items[0]!)[2]!)
        return [withItem(items[0]!, 2, () => gas), second, ...items.slice(2)]
      })
      const gas = forged(falling, FIELD.receiptsRoot, () =>
        encodeBytes(receiptsRoot(falling.receipts, 69)),
      )
      assert.strictEqual(verdict(gas, ALL_CHECKS), "header cumulative_gas")

      const carried = { ...goodBlock(68), receipts: withWrongBloom(goodBlock(68).receipts) }
      const blooms = forged(carried, FIELD.receiptsRoot, () =>
        encodeBytes(receiptsRoot(carried.receipts, 68)),
      )
      assert.strictEqual(verdict(blooms, ALL_CHECKS), "header receipt_bloom")
    })
  })

  describe("blames the body for", () => {
    const block = goodBlock(69)

    it("a transaction dropped, added, swapped or altered", () => {
      const changes = [
        (items: Array<Uint8Array>) => items.slice(0, -1),
        (items: Array<Uint8Array>) => [...items, items[0]!],
        swapFirstTwo,
        (items: Array<Uint8Array>) => items.with(3, flipped(items[3]!, items[3]!.length - 1)),
      ]
      for (const change of changes) {
        assert.strictEqual(verdict(inBody(block, 0, change), ALL_CHECKS), "body transactions_root")
      }
    })

    it("a legacy transaction wrapped in a byte string, which has the same root", () => {
      const wrapped = inBody(block, 0, (items) =>
        items.map((item) => (item[0]! >= 0xc0 ? encodeBytes(item) : item)),
      )
      assert.notDeepEqual(wrapped.body, block.body)
      assert.strictEqual(verdict(wrapped, ALL_CHECKS), "body encoding")
    })

    it("an uncle that the header does not know, or that is no header", () => {
      const uncle = inBody(block, 1, () => [lightChain.headerAt(4)!])
      assert.strictEqual(verdict(uncle, ALL_CHECKS), "body ommers_hash")
      assert.strictEqual(verdict(uncle, only("transactions", "withdrawals", "receipts")), "passed")
      const none = inBody(block, 1, () => [encodeList([])])
      assert.strictEqual(verdict(none, ALL_CHECKS), "body encoding")
    })

    it("a withdrawal altered or dropped, no withdrawals, and 10,000 of them", () => {
      const altered = inBody(block, 2, (items) => items.with(0, flipped(items[0]!, 10)))
      const dropped = inBody(block, 2, (items) => items.slice(1))
      const none = { ...block, body: encodeList(itemsOf(block.body).slice(0, 2)) }
      const many = inBody(block, 2, (items) => Array.from({ length: 10_000 }, () => items[0]!))
      for (const wrong of [altered, dropped, none, many]) {
        assert.strictEqual(verdict(wrong, ALL_CHECKS), "body withdrawals_root")
        assert.strictEqual(
          verdict(wrong, only("transactions", "uncles", "receipts", "bloom")),
          "passed",
        )
      }
    })

    it("withdrawals that the header does not have", () => {
      const fields = itemsOf(block.header).slice(0, FIELD.withdrawalsRoot)
      const old = forged({ ...block, header: encodeList(fields) }, FIELD.ommersHash, (item) => item)
      assert.strictEqual(verdict(old, ALL_CHECKS), "body withdrawals_root")
      assert.strictEqual(
        verdict({ ...old, body: encodeList(itemsOf(block.body).slice(0, 2)) }, ALL_CHECKS),
        "passed",
      )
    })

    it("a fourth list, a missing one, and trailing bytes", () => {
      const items = itemsOf(block.body)
      const bodies = [
        encodeList([...items, encodeList([])]),
        encodeList(items.slice(0, 1)),
        Uint8Array.from([...block.body, 0xc0]),
        new Uint8Array(0),
      ]
      for (const body of bodies) {
        assert.strictEqual(verdict({ ...block, body }, NO_CHECKS), "body encoding")
      }
    })

    it("more transactions than any block has, without working through them", () => {
      const body = encodeList([
        encodeList([Uint8Array.from({ length: (1 << 20) + 1 }, () => 1)]),
        encodeList([]),
      ])
      assert.strictEqual(verdict({ ...block, body }, ALL_CHECKS), "body encoding")
    })

    it("a number of transactions that the receipts contradict, where only they are proven", () => {
      const fewer = inBody(block, 0, (items) => items.slice(0, -1))
      assert.strictEqual(verdict(fewer, only("receipts")), "body receipt_count")
    })
  })

  describe("blames the receipts for", () => {
    it("one dropped, two swapped, another block's, and none", () => {
      for (const form of FORMS) {
        const block = goodBlock(form)
        const wrong = [
          inReceipts(block, (items) => items.slice(0, -1)),
          inReceipts(block, swapFirstTwo),
          { ...block, receipts: blockOf(lightChain, 6, form)!.receipts },
          { ...block, receipts: encodeList([]) },
        ]
        for (const each of wrong) {
          assert.strictEqual(verdict(each, ALL_CHECKS), "receipts receipts_root")
        }
      }
    })

    it("a log dropped, doubled, or altered in address, topic or data", () => {
      const block = goodBlock(69)
      const changes = [
        (logs: Array<Uint8Array>) => logs.slice(0, -1),
        (logs: Array<Uint8Array>) => [...logs, logs[0]!],
        ...[0, 1, 2].map(
          (field) => (logs: Array<Uint8Array>) => logs.with(0, withItem(logs[0]!, field, lastByte)),
        ),
      ]
      for (const change of changes) {
        const wrong = inLogs(block, change)
        assert.notDeepEqual(wrong.receipts, block.receipts)
        assert.strictEqual(verdict(wrong, ALL_CHECKS), "receipts receipts_root")
      }
    })

    it("a bloom that is not that of the logs", () => {
      const block = { ...goodBlock(68), receipts: withWrongBloom(goodBlock(68).receipts) }
      assert.strictEqual(verdict(block, ALL_CHECKS), "receipts receipts_root")
      assert.strictEqual(verdict(block, only("bloom")), "receipts receipt_bloom")
      assert.strictEqual(verdict(block, only("transactions")), "passed")
      // Without its bloom, the altered receipt is the good one again.
      assert.deepEqual(receipts68To69(block.receipts), goodBlock(69).receipts)
    })

    it("logs that are not the header's, where only the bloom is checked", () => {
      const block = goodBlock(69)
      const receipts = blockOf(lightChain, 6, 69)!.receipts
      assert.strictEqual(verdict({ ...block, receipts }, only("bloom")), "receipts logs_bloom")
    })

    it("the other form than the one they are said to be in", () => {
      for (const form of FORMS) {
        const receiptsForm = form === 68 ? 69 : 68
        const block = { ...goodBlock(form), receiptsForm } as const
        assert.strictEqual(verdict(block, NO_CHECKS), "receipts encoding")
      }
    })

    it("other types than the transactions', where nothing proves either", () => {
      const block = goodBlock(69)
      const wrong = inReceipts(block, (items) =>
        items.with(
          0,
          withItem(items[0]!, 0, () => Uint8Array.of(0x7e)),
        ),
      )
      assert.strictEqual(verdict(wrong, only("bloom")), "receipts receipt_types")
      assert.strictEqual(verdict(wrong, ALL_CHECKS), "receipts receipts_root")
    })

    it("a log without form, even where no root is wanted", () => {
      const wrong = inLogs(goodBlock(69), (logs) =>
        logs.with(0, encodeList([...itemsOf(logs[0]!), encodeUint(1)])),
      )
      assert.strictEqual(verdict(wrong, NO_CHECKS), "receipts encoding")
    })
  })
})

const lastByte = (item: Uint8Array): Uint8Array => flipped(item, item.length - 1)

/** The payload of a byte string item. */
const payloadOf = (item: Uint8Array): Uint8Array => {
  const prefix = item[0]!
  if (prefix < 0x80) return item
  return item.subarray(prefix <= 0xb7 ? 1 : 1 + prefix - 0xb7)
}

/** A list in form 68 with a bit of its last bloom flipped. */
const withWrongBloom = (list: Uint8Array): Uint8Array => {
  const at = Buffer.from(list).lastIndexOf(Buffer.of(0xb9, 0x01, 0x00))
  return flipped(list, at + 3 + 77)
}
