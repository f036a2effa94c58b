import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { equalBytes } from "../../../src/domain/hex.ts"
import {
  afterStep,
  afterTelling,
  cursorAt,
  MOST_REMOVED,
  newBlocks,
  type ChainCursor,
} from "../../../src/rpc/live/chainCursor.ts"
import {
  type ChainStep,
  type ChainWindow,
  followChain,
  type SeenBlock,
  WINDOW_BLOCKS,
} from "../../../src/rpc/live/chainStep.ts"

let made = 0

/** A block like no other. */
const block = (blockNumber: number): SeenBlock => {
  made += 1
  return { blockNumber, hash: Uint8Array.from(Buffer.from(`${blockNumber}/${made}`)) }
}

/** Blocks by number, from `earliest` on without a gap. */
class Chain {
  readonly earliest: number
  blocks: Array<SeenBlock> = []

  constructor(earliest: number, count: number) {
    this.earliest = earliest
    this.extend(count)
  }

  get latest(): number | undefined {
    return this.blocks.at(-1)?.blockNumber
  }

  extend(count: number): void {
    for (let i = 0; i < count; i++) this.blocks.push(block(this.earliest + this.blocks.length))
  }

  replace(depth: number, count: number): void {
    this.blocks = this.blocks.slice(0, Math.max(0, this.blocks.length - depth))
    this.extend(count)
  }

  at(blockNumber: number): SeenBlock | undefined {
    return this.blocks[blockNumber - this.earliest]
  }
}

const step = (
  window: ChainWindow<SeenBlock>,
  chain: { latest: number | undefined; at: (blockNumber: number) => SeenBlock | undefined },
): ChainStep<SeenBlock> => {
  const following = followChain(window, chain.latest)
  let next = following.next()
  while (next.done !== true) next = following.next(chain.at(next.value))
  return next.value
}

/** Somebody who believes what he is told. */
class Client {
  chain: Array<SeenBlock>
  cursor: ChainCursor<SeenBlock>

  constructor(chain: Chain) {
    this.chain = [...chain.blocks]
    this.cursor = cursorAt(chain.latest)
  }

  poll(chain: Chain, mostBlocks: number): void {
    for (const gone of this.cursor.removed) {
      const top = this.chain.pop()
      assert.isTrue(
        top !== undefined && equalBytes(top.hash, gone.hash),
        "takes back what it was told last",
      )
    }
    const span = newBlocks(
      this.cursor,
      { earliest: chain.earliest, head: chain.latest },
      mostBlocks,
    )
    if (span !== undefined) {
      for (let at = span[0]; at <= span[1]; at++) this.chain.push(chain.at(at)!)
    }
    this.cursor = afterTelling(this.cursor, span?.[1])
  }
}

const numbersOf = (blocks: ReadonlyArray<SeenBlock>): ReadonlyArray<number> =>
  blocks.map(({ blockNumber }) => blockNumber)

describe("followChain", () => {
  it("W1, W2: begins with the last blocks of the store", () => {
    const { window, removed } = step([], new Chain(0, 1000))
    assert.strictEqual(window.length, WINDOW_BLOCKS)
    assert.strictEqual(window.at(-1)?.blockNumber, 999)
    assert.deepEqual(removed, [])
    assert.deepEqual(step([], new Chain(0, 0)).window, [])
  })

  it.each([1, 2, 63, 64, 127])("W3: names what a reorganisation of depth %d removed", (depth) => {
    const chain = new Chain(0, 300)
    const before = step([], chain).window
    chain.replace(depth, depth + 1)
    const after = step(before, chain)
    assert.deepEqual(numbersOf(after.removed), numbersOf(before.slice(-depth)).toReversed())
    assert.isFalse(after.deeper)
    assert.deepEqual(after.window, chain.blocks.slice(-WINDOW_BLOCKS))
  })

  it("says that a reorganisation is deeper than it remembers", () => {
    const chain = new Chain(0, 300)
    const before = step([], chain).window
    chain.replace(200, 201)
    const after = step(before, chain)
    assert.isTrue(after.deeper)
    assert.strictEqual(after.removed.length, WINDOW_BLOCKS)
  })

  it("W4: stays where it is while the store is filled from below", () => {
    const upper = new Chain(1000, 10)
    const before = step([], upper).window
    const filling = {
      latest: 5,
      at: (blockNumber: number) => (blockNumber <= 5 ? block(blockNumber) : upper.at(blockNumber)),
    }
    const after = step(before, filling)
    assert.deepEqual(after.removed, [])
    assert.deepEqual(after.window, before)
  })
})

describe("a cursor", () => {
  it("C1, C2: leads through any reorganisations to the store's chain", () => {
    const move = fc.oneof(
      { weight: 3, arbitrary: fc.record({ kind: fc.constant("extend"), count: fc.nat(200) }) },
      {
        weight: 3,
        arbitrary: fc.record({
          kind: fc.constant("replace"),
          depth: fc.nat(30),
          count: fc.nat(40),
        }),
      },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant("look") }) },
      {
        weight: 2,
        arbitrary: fc.record({ kind: fc.constant("poll"), most: fc.integer({ min: 1, max: 300 }) }),
      },
    )
    fc.assert(
      fc.property(
        fc.nat(5),
        fc.nat(300),
        fc.array(move, { maxLength: 60, size: "max" }),
        (earliest, count, moves) => {
          const chain = new Chain(earliest, count)
          let window = step([], chain).window
          const client = new Client(chain)
          const look = (): void => {
            const taken = step(window, chain)
            window = taken.window
            client.cursor = afterStep(client.cursor, taken)
          }
          for (const each of moves) {
            if (each.kind === "extend" && "count" in each) chain.extend(each.count)
            if (each.kind === "replace" && "depth" in each) chain.replace(each.depth, each.count)
            if (each.kind === "look") look()
            if (each.kind !== "poll" || !("most" in each)) continue
            look()
            if (client.cursor.lost) return
            client.poll(chain, each.most)
          }
          look()
          if (client.cursor.lost) return
          client.poll(chain, Infinity)
          assert.deepEqual(client.chain, chain.blocks)
        },
      ),
      { numRuns: 1000 },
    )
  })

  it("is lost only where more is removed than it remembers", () => {
    const chain = new Chain(0, 400)
    let window = step([], chain).window
    let cursor = cursorAt<SeenBlock>(chain.latest)
    for (const depth of [100, 100, 56, 1]) {
      chain.replace(depth, 0)
      const taken = step(window, chain)
      window = taken.window
      cursor = afterStep(cursor, taken)
      assert.strictEqual(cursor.lost, depth === 1)
    }
    assert.strictEqual(cursor.removed.length, MOST_REMOVED)
  })

  it("is lost by what is deeper than the window, unless it was told nothing", () => {
    const taken: ChainStep<SeenBlock> = { removed: [block(5)], deeper: true, window: [] }
    assert.isTrue(afterStep(cursorAt(3), taken).lost)
    assert.isFalse(afterStep(cursorAt(undefined), taken).lost)
  })

  it("C2: takes back nothing that was never told", () => {
    const chain = new Chain(0, 10)
    const window = step([], chain).window
    const cursor = cursorAt<SeenBlock>(chain.latest)
    chain.extend(5)
    const grown = step(window, chain)
    chain.replace(3, 4)
    const after = afterStep(afterStep(cursor, grown), step(grown.window, chain))
    assert.deepEqual(after.removed, [])
    assert.strictEqual(after.next, 10)
  })
})
