/**
 * Bodies: transactions, uncles and withdrawals of a block. Only fetched to be checked, so the items
 * of a short answer are told apart by their roots.
 */
import { Effect } from "effect"
import { bodyRoots } from "../domain/bodyRoots.ts"
import { concatBytes } from "../domain/rlp.ts"
import { Settings } from "../Settings.ts"
import { Malformed } from "../wire/WireError.ts"
import type { HashedHeader } from "./checkHeaders.ts"
import { EmptyAnswer, WrongBody } from "./FetchError.ts"
import { matchByRoot } from "./matchByRoot.ts"
import type { PartMethod } from "./PartFetch.ts"

/** How bodies are asked for and read. */
export const makeBodiesMethod: Effect.Effect<PartMethod, never, Settings> = Effect.map(
  Settings,
  ({ receiptsAnswerBytes: reserveBytes }) => {
    const method: PartMethod = {
      kind: "bodies",
      reserveBytes,
      send: (job, timeoutMs) => {
        const hashes = job.blocks.map((block) => block.hash)
        return Effect.map(
          job.assignment.peer.getBlockBodies(hashes, timeoutMs),
          ({ bodies, bytes, elapsedMs }) => ({ items: bodies, lastCut: false, bytes, elapsedMs }),
        )
      },
      match: (job, _answer, whole) => {
        const { peerId } = job.assignment.peer
        if (whole.length === 0) {
          const fromBlock = job.blocks[0]!.header.number
          return Effect.fail(new EmptyAnswer({ peerId, fromBlock, asked: job.blocks.length }))
        }
        return Effect.try({
          try: () =>
            matchByRoot(job.blocks.map(headerRoots), whole.length, (item) =>
              bodyRoots(whole[item]!),
            ),
          catch: (error) =>
            new Malformed({
              peerId,
              what: "bodies",
              reason: error instanceof Error ? error.message : String(error),
            }),
        })
      },
      foreign: (job) =>
        new WrongBody({
          peerId: job.assignment.peer.peerId,
          blockNumber: job.blocks[0]!.header.number,
          what: "transactions",
          expected: "a body of one of the blocks asked for",
          actual: "a body of another block",
        }),
      finish: undefined,
    }
    return method
  },
)

/** The roots that a header gives for its body, joined; see {@link bodyRoots}. */
const headerRoots = ({ header }: HashedHeader): Uint8Array =>
  concatBytes([
    header.transactionsRoot,
    header.ommersHash,
    ...(header.withdrawalsRoot === undefined ? [] : [header.withdrawalsRoot]),
  ])
