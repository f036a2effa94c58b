/** Chains that move while they are served, and the words that move them. */
import { assert, describe, it } from "vitest"
import { FastCheck as fc } from "effect"
import { answerItems } from "../../src/devnet/answers.ts"
import { parseControl } from "../../src/devnet/control.ts"
import { obey } from "../../src/devnet/DevnetControl.ts"
import { generateChain, generateFork } from "../../src/devnet/generatedChain.ts"
import { LiveChain } from "../../src/devnet/liveChain.ts"
import { branchOff, upTo } from "../../src/devnet/servedChain.ts"
import { readHeader } from "../../src/domain/header.ts"
import { toHex } from "../../src/domain/hex.ts"
import { checkBlock } from "../../src/process/checkBlock.ts"
import { checks } from "../../src/process/checks.ts"

const SHAPE = { blocks: 30, shape: "light", seed: 3 } as const
const main = generateChain(SHAPE)
const fork = generateFork(main, 12, { ...SHAPE, seed: 4 })
const hashAt = (chain: typeof main, number: number): string => toHex(chain.hashAt(number)!)

describe("a fork of a made chain", () => {
  it("shares the blocks below it and no other", () => {
    for (let number = 0; number <= 30; number++) {
      const same = hashAt(main, number) === hashAt(fork, number)
      assert.strictEqual(same, number < 12, `block ${number}`)
    }
    assert.deepStrictEqual(fork.headerAt(5), main.headerAt(5))
  })

  it("is a valid chain: links, roots, blooms and gas", () => {
    const all = new Set(checks)
    for (let number = 1; number <= 30; number++) {
      const header = readHeader(fork.headerAt(number)!)
      assert.strictEqual(toHex(header.parentHash), hashAt(fork, number - 1))
      const result = checkBlock(
        {
          blockNumber: number,
          hash: fork.hashAt(number)!,
          header: fork.headerAt(number)!,
          body: fork.bodyAt(number)!,
          receipts: fork.receipts69At(number)!,
          receiptsForm: 69,
        },
        all,
      )
      assert.notStrictEqual(result._tag, "Failed", `block ${number}`)
    }
  })

  it("is the same from the same seed, and another from another", () => {
    const again = generateFork(main, 12, { ...SHAPE, seed: 4 })
    const other = generateFork(main, 12, { ...SHAPE, seed: 5 })
    assert.strictEqual(hashAt(again, 30), hashAt(fork, 30))
    assert.notStrictEqual(hashAt(other, 12), hashAt(fork, 12))
  })

  it("needs a block to stand on, and blocks that link to it", () => {
    assert.throws(() => generateFork(main, 40, SHAPE), RangeError)
    const stray = [
      {
        header: main.headerAt(20)!,
        body: main.bodyAt(20)!,
        receipts: main.receipts68At(20),
        path: "x",
        offset: 0,
      },
    ]
    assert.strictEqual(branchOff(main, stray).lastBlock, 20)
    assert.throws(() => branchOff(fork, stray), /parent/u)
  })
})

describe("a chain up to one of its blocks", () => {
  it("answers nothing above it, by number or by hash, and all below", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 30 }),
        fc.integer({ min: 0, max: 30 }),
        (head, number) => {
          const chain = upTo(main, head)
          const there = number <= head
          assert.strictEqual(chain.has(number), there)
          assert.strictEqual(chain.numberOf(hashAt(main, number)), there ? number : undefined)
          for (const version of [68, 69, 70] as const) {
            const hashes = [main.hashAt(number)!]
            const queries = [
              {
                _tag: "GetBlockHeaders",
                requestId: 1n,
                start: number,
                limit: 1,
                skip: 0,
                reverse: false,
              },
              { _tag: "GetBlockBodies", requestId: 1n, hashes },
              { _tag: "GetReceipts", requestId: 1n, hashes, firstBlockReceiptIndex: 0 },
            ] as const
            for (const query of queries) {
              assert.lengthOf(answerItems(chain, version, query).items, there ? 1 : 0, query._tag)
            }
          }
        },
      ),
    )
    const chain = upTo(main, 9)
    assert.strictEqual(chain.head.number, 9)
    assert.strictEqual(toHex(chain.head.hash), hashAt(main, 9))
    assert.deepStrictEqual(chain.numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  })
})

describe("a chain that moves", () => {
  it("grows to its end, goes over to the other branch, and tells of each move", () => {
    const live = new LiveChain({ main, fork }, { branch: "main", head: 28 })
    let moves = 0
    const stop = live.onMove(() => {
      moves += 1
    })
    for (let turn = 0; turn < 5; turn++) live.grow()
    assert.deepStrictEqual(live.position, { branch: "main", head: 30 })
    assert.strictEqual(moves, 2)
    live.moveTo({ branch: "fork", head: 20 })
    assert.strictEqual(toHex(live.current.head.hash), hashAt(fork, 20))
    stop()
    live.moveTo({ branch: "main", head: 3 })
    assert.strictEqual(moves, 3)
  })

  it("goes nowhere that is not there", () => {
    const live = new LiveChain({ main, fork: undefined }, { branch: "main", head: 5 })
    assert.throws(() => live.moveTo({ branch: "fork", head: 5 }), /no fork/u)
    assert.throws(() => live.moveTo({ branch: "main", head: 31 }), /no block 31/u)
    assert.deepStrictEqual(live.position, { branch: "main", head: 5 })
  })
})

describe("commands", () => {
  it("move all peers, or some, to a block, a branch, or both", () => {
    assert.deepStrictEqual(parseControl("head 7", 4), { peers: [0, 3], branch: undefined, head: 7 })
    const both = { peers: [0, 2], branch: "fork", head: 120 } as const
    for (const line of [
      "peers 0-2 head 120 fork",
      "peers 0-2 head 120@fork",
      " branch fork  head 120 peers 0-2 ",
    ]) {
      assert.deepStrictEqual(parseControl(line, 4), both, line)
    }
    assert.deepStrictEqual(parseControl("peers 1 branch main", 4), {
      peers: [1, 1],
      branch: "main",
      head: undefined,
    })
  })

  it("are refused in one line when they cannot be understood, and nothing moves", () => {
    const chains = [0, 1].map(() => new LiveChain({ main, fork }, { branch: "main", head: 5 }))
    for (const line of [
      "",
      "head",
      "head x",
      "head 5@side",
      "peers 2 head 3",
      "peers 1-0 head 3",
      "branch other",
      "fork main",
      "jump 5",
      "head 31",
      "where head 3",
    ]) {
      assert.match(obey(chains, line), /^refused: [^\n]+$/u, line)
      for (const chain of chains)
        assert.deepStrictEqual(chain.position, { branch: "main", head: 5 })
    }
  })

  it("are answered by where the peers are now", () => {
    const chains = [0, 1, 2].map(() => new LiveChain({ main, fork }, { branch: "main", head: 5 }))
    assert.strictEqual(obey(chains, "peers 1-2 head 20 fork"), "peers 1-2 at 20@fork")
    assert.strictEqual(obey(chains, "where"), "peers 0-2 at 5@main")
    assert.strictEqual(obey(chains, "peers 2 where"), "peers 2-2 at 20@fork")
    assert.deepStrictEqual(chains[0]!.position, { branch: "main", head: 5 })
  })

  it("are never an exception, whatever the line is", () => {
    const words = fc.constantFrom(
      "head",
      "peers",
      "branch",
      "fork",
      "main",
      "where",
      "3",
      "0-1",
      "7@fork",
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(words).map((all) => all.join(" ")),
        ),
        (line) => {
          const chains = [0, 1].map(
            () => new LiveChain({ main, fork }, { branch: "main", head: 5 }),
          )
          assert.notInclude(obey(chains, line), "\n")
        },
      ),
    )
  })
})
