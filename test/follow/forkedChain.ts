/** Peers on one of two branches, which part at block 58, and stores that were left on one of them. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { generateChain, generateFork } from "../../src/devnet/generatedChain.ts"
import { type BranchName, LiveChain } from "../../src/devnet/liveChain.ts"
import type { ServedChain } from "../../src/devnet/servedChain.ts"
import { toHex } from "../../src/domain/hex.ts"
import type { TrustedHead } from "../../src/follow/TrustedHead.ts"
import type { EthRequest } from "../../src/wire/ethMessages.ts"
import { type FollowedRun, livePeer, withFollower } from "../support/followRun.ts"

const SHAPE = { blocks: 400, shape: "tiny", seed: 31 } as const
export const main = generateChain(SHAPE)
export const fork = generateFork(main, 58, { ...SHAPE, seed: 32 })
/** A branch of the first chain from `first` on. */
export const forkFrom = (first: number): ServedChain =>
  generateFork(main, first, { ...SHAPE, seed: 99 })

/** A peer whose head is this block. */
export const at = (name: string, branch: BranchName, head: number, latencyMs = 10) =>
  livePeer(name, new LiveChain({ main, fork }, { branch, head }), { latencyMs })

/** Three of them. */
export const honest = (branch: BranchName, head: number) =>
  ["a", "b", "c"].map((name) => at(name, branch, head))

/** Peers that show headers of the second branch up to 400, and have no block above 60. */
export const liarsWithoutBlocks = (names: ReadonlyArray<string>) =>
  names.map((name) => {
    const isLow = (hash: Uint8Array): boolean => (main.numberOf(toHex(hash)) ?? 999) <= 60
    const alter = (request: EthRequest, items: ReadonlyArray<Uint8Array>) =>
      request._tag === "GetBlockHeaders" || request.hashes.every(isLow) ? items : []
    const live = new LiveChain({ main, fork: lied }, { branch: "fork", head: 400 })
    return livePeer(name, live, { alter })
  })
/** Leaves the first branch above block 60. */
const lied = generateFork(main, 61, { ...SHAPE, seed: 77 })

/** A trusted node that says that this block is its head. */
export const says = (chain: ServedChain, head: number): TrustedHead => {
  const block = (number: number) => ({ number, key: toHex(chain.hashAt(number)!) })
  return {
    ask: Effect.succeed({ head: block(head), safe: undefined, finalized: undefined }),
    blockAt: (number) => Effect.succeed(block(number)),
  }
}

/** Leaves a store with the first branch up to `head`. */
export const seeded = (
  directory: string,
  options: Omit<Parameters<typeof withFollower>[1], "directory"> = {},
  head = 60,
) =>
  withFollower(honest("main", head), { directory, ...options }, (run) =>
    Effect.map(
      run.until(() => run.tip().number === head),
      (there) => assert.isTrue(there, run.log.join("\n")),
    ),
  )

/** Whether the stored tip is this block. */
export const headIs = (run: FollowedRun, chain: ServedChain, head: number): boolean =>
  run.tip().number === head && run.tip().hash === toHex(chain.hashAt(head)!)

/** Asserts that all of a chain is stored up to a block, nothing else, and that it verifies. */
export const isWhole = (run: FollowedRun, chain: ServedChain, head: number) =>
  Effect.gen(function* () {
    const hashes = yield* run.store.hashes([0, 1_000])
    assert.deepStrictEqual(
      hashes.map(({ hash }) => toHex(hash)),
      Array.from({ length: head + 1 }, (_, number) => toHex(chain.hashAt(number)!)),
    )
    assert.deepStrictEqual((yield* run.store.verify()).damages, [])
    assert.strictEqual((yield* run.store.status).blocks, head + 1)
  })
