/**
 * Peers in memory, in place of sessions: they serve a chain after a latency on the test's clock,
 * have the devnet's faults, and write down what they were asked.
 */
import { Duration, Effect } from "effect"
import { ownMemory } from "../../src/domain/answerMemory.ts"
import { concatBytes } from "../../src/domain/rlp.ts"
import { cutReceipts } from "../../src/serving/answers.ts"
import { answerItems } from "../../src/devnet/answers.ts"
import { type FaultKind, react } from "../../src/devnet/faults.ts"
import type { ServedChain } from "../../src/devnet/servedChain.ts"
import type { Peer, ServedRange } from "../../src/peers/Peer.ts"
import type { EthRequest } from "../../src/wire/ethMessages.ts"
import { Malformed, type RequestError, Timeout } from "../../src/wire/WireError.ts"

export interface FakePeerOptions {
  readonly name: string
  readonly served: ServedChain
  readonly latencyMs: number
  readonly ethVersion?: 68 | 69 | 70
  readonly fault?: FaultKind
  /** What it says to serve; the whole chain when not given. */
  readonly range?: ServedRange
  /** What it announces; `range` when not given, and nothing on eth/68. */
  readonly announced?: ServedRange
  /** Number of requests that it lets time out before it answers any. */
  readonly silentFor?: number
  /** The kinds of request that the latency is for; all when not given. */
  readonly lateKinds?: ReadonlyArray<"headers" | "receipts" | "bodies">
  /** Milliseconds for which we did not read from it; none when not given. */
  readonly heldMs?: () => number
  /** Over eth/70, where it cuts an answer's receipts. */
  readonly cutBytes?: number
  /** Changes what an honest peer would answer. */
  readonly alter?: (
    request: EthRequest,
    items: ReadonlyArray<Uint8Array>,
  ) => ReadonlyArray<Uint8Array>
}

export interface FakePeer {
  readonly peer: Peer
  readonly range: ServedRange
  /** Every request so far, as `headers 3+32` or `receipts 16`. */
  readonly asked: Array<string>
  /** Every block whose header it was asked for. */
  readonly blocks: Array<number>
  /** Most requests that were open at once. */
  readonly mostOpen: () => number
}

/** The items as a session gives them: next to each other in memory of their own. */
const received = (items: ReadonlyArray<Uint8Array>): Array<Uint8Array> => {
  const memory = concatBytes(items)
  ownMemory(memory)
  let at = 0
  return items.map((item) => {
    at += item.length
    return memory.subarray(at - item.length, at)
  })
}

export const fakePeer = (options: FakePeerOptions): FakePeer => {
  const { served, latencyMs, fault, ethVersion = 69 } = options
  const peerId = options.name.padEnd(128, "0")
  const asked: Array<string> = []
  const blocks: Array<number> = []
  let nth = 0
  let open = 0
  let most = 0

  const answer = (
    request: EthRequest,
    what: "headers" | "receipts" | "bodies",
    timeoutMs: number,
  ) =>
    Effect.suspend(() => {
      nth += 1
      open += 1
      most = Math.max(most, open)
      const waitMs = (options.lateKinds?.includes(what) ?? true) ? latencyMs : 1
      const whole = answerItems(served, ethVersion, request)
      const { alter } = options
      const items = alter === undefined ? whole.items : alter(request, whole.items)
      const honest =
        what === "receipts" && options.cutBytes !== undefined
          ? cutReceipts(ethVersion, items, options.cutBytes)
          : { ...whole, items }
      const asked = { chain: served, version: ethVersion, request }
      const reaction = react(fault, asked, nth, honest)
      const timeout = Effect.sleep(Duration.millis(timeoutMs)).pipe(
        Effect.zipRight(Effect.fail(new Timeout({ peerId, what, afterMs: timeoutMs }))),
      )
      const outcome: Effect.Effect<
        { items: ReadonlyArray<Uint8Array>; lastBlockIncomplete: boolean },
        RequestError
      > =
        nth <= (options.silentFor ?? 0) || reaction._tag === "Silence"
          ? timeout
          : reaction._tag === "Answer"
            ? Effect.as(
                Effect.sleep(Duration.millis(waitMs + reaction.extraDelayMs)),
                reaction.answer,
              )
            : Effect.fail(new Malformed({ peerId, what, reason: reaction._tag }))
      return outcome.pipe(
        Effect.map(({ items, lastBlockIncomplete }) => ({
          items: received(items),
          lastBlockIncomplete,
          bytes: items.reduce((sum, item) => sum + item.length, 0),
          elapsedMs: waitMs,
        })),
        Effect.ensuring(
          Effect.sync(() => {
            open -= 1
          }),
        ),
      )
    })

  const range = options.range ?? { from: served.firstBlock, to: served.lastBlock }
  const announced = options.announced ?? range
  const latestBlockHash = served.head.hash
  const announcedRange = {
    earliestBlock: announced.from,
    latestBlock: announced.to,
    latestBlockHash,
  }

  return {
    asked,
    blocks,
    mostOpen: () => most,
    range,
    peer: {
      peerId,
      client: `fake/${options.name}`,
      ethVersion,
      inbound: false,
      heldMs: options.heldMs ?? (() => 0),
      announcedRange: () => (ethVersion === 68 ? undefined : announcedRange),
      getBlockHeaders: (query, timeoutMs) => {
        const from = typeof query.start === "number" ? query.start : -1
        asked.push(`headers ${from}+${query.limit}`)
        for (let i = 0; i < query.limit; i++) blocks.push(from + i)
        return answer(
          { _tag: "GetBlockHeaders", requestId: 1n, ...query },
          "headers",
          timeoutMs,
        ).pipe(Effect.map(({ items, ...facts }) => Object.assign(facts, { headers: items })))
      },
      getBlockBodies: (hashes, timeoutMs) =>
        answer({ _tag: "GetBlockBodies", requestId: 1n, hashes }, "bodies", timeoutMs).pipe(
          Effect.map(({ items, ...facts }) => Object.assign(facts, { bodies: items })),
        ),
      getReceipts: (hashes, firstBlockReceiptIndex, timeoutMs) => {
        asked.push(`receipts ${hashes.length}`)
        return answer(
          { _tag: "GetReceipts", requestId: 1n, hashes, firstBlockReceiptIndex },
          "receipts",
          timeoutMs,
        ).pipe(Effect.map(({ items, ...facts }) => Object.assign(facts, { lists: items })))
      },
    },
  }
}
