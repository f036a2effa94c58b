/**
 * Bodies: transactions, uncles and withdrawals of a block. Only fetched to be checked, so the items
 * of a short answer are told apart by their roots.
 */
import { Effect } from "effect"
import { bodyRoots } from "../domain/bodyRoots.ts"
import { concatBytes } from "../domain/rlp.ts"
import { Malformed } from "../wire/WireError.ts"
import type { HashedHeader } from "./checkHeaders.ts"
import { EmptyAnswer, WrongBody } from "./FetchError.ts"
import { matchByRoot } from "./matchByRoot.ts"
import type { PartMatch, PartMatches } from "./matchReceipts.ts"
import type { PartMethod } from "./PartFetch.ts"

/** How bodies are asked for and read. */
export const makeBodiesMethod: Effect.Effect<PartMethod> = Effect.succeed({
  kind: "bodies",
  send: (job, timeoutMs) => {
    const hashes = job.blocks.map((block) => block.hash)
    return Effect.map(
      job.assignment.peer.getBlockBodies(hashes, timeoutMs),
      ({ bodies, bytes, elapsedMs }) => ({ items: bodies, lastCut: false, bytes, elapsedMs }),
    )
  },
  match: (job, _answer, whole) => {
    const { peerId } = job.assignment.peer
    if (whole.every(isPlaceholder)) {
      const fromBlock = job.blocks[0]!.header.number
      return Effect.fail(
        new EmptyAnswer({ peerId, what: "bodies", fromBlock, asked: job.blocks.length }),
      )
    }
    return Effect.try({
      try: () => matchBodies(job.blocks.map(headerRoots), whole),
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
})

/** Nethermind puts an empty list in the place of a body that it lacks. No body is that short. */
const isPlaceholder = (body: Uint8Array): boolean => body.length === 1 && body[0] === 0xc0

/** Matches bodies to blocks; see {@link matchByRoot}. Placeholders are of no block. */
const matchBodies = (
  roots: ReadonlyArray<Uint8Array>,
  whole: ReadonlyArray<Uint8Array>,
): PartMatches => {
  if (whole.length === roots.length) {
    const blocks = whole.map((body, list): PartMatch =>
      isPlaceholder(body) ? { _tag: "Lacking" } : { _tag: "Matched", list },
    )
    return { blocks, foreign: undefined }
  }
  const places = [...whole.keys()].filter((place) => !isPlaceholder(whole[place]!))
  const { blocks, foreign } = matchByRoot(roots, places.length, (item) =>
    bodyRoots(whole[places[item]!]!),
  )
  return {
    blocks: blocks.map((match) =>
      match._tag === "Matched" ? { _tag: "Matched", list: places[match.list]! } : match,
    ),
    foreign: foreign === undefined ? undefined : places[foreign],
  }
}

/** The roots that a header gives for its body, joined; see {@link bodyRoots}. */
const headerRoots = ({ header }: HashedHeader): Uint8Array =>
  concatBytes([
    header.transactionsRoot,
    header.ommersHash,
    ...(header.withdrawalsRoot === undefined ? [] : [header.withdrawalsRoot]),
  ])
