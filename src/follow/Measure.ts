/**
 * How far the chain goes, as far as anybody is believed.
 *
 * In: the peers' measured heads, and what a trusted node says. Out: the head that those reach who have a
 * say, and in the {@link SyncState} the head of the network. That one is measured over all peers that we
 * dialled, watched or not: that those which are watched lag is to be seen.
 */
import { Effect } from "effect"
import { PeerPool } from "../peers/PeerPool.ts"
import { electorate, isOut, type PeerView, quorumOf, reachOf } from "./quorum.ts"
import { SyncState } from "./SyncState.ts"
import type { TrustedNow } from "./TrustedWatch.ts"

/** Gives what measures anew; undefined where one peer alone, who moves nothing, is all there is. */
export const makeMeasure = Effect.fnUntraced(function* (
  trustedPeers: ReadonlySet<string>,
  trusted: TrustedNow | undefined,
) {
  const pool = yield* PeerPool
  const state = yield* SyncState

  const headsOf = (has: (peerId: string) => boolean) =>
    Effect.map(pool.connected, (peers) =>
      peers.flatMap(({ peer: { peerId, inbound }, serves }) =>
        has(peerId) && (!inbound || trustedPeers.has(peerId)) ? [serves.headers?.to ?? -1] : [],
      ),
    )

  /** What a trusted node or peer says; else what a quorum of the peers reach, or a lone one has. */
  const headOf = Effect.fnUntraced(function* (views: ReadonlyArray<PeerView>) {
    const said = trusted === undefined ? undefined : yield* trusted()
    if (said !== undefined && "head" in said) return said.head.number
    const ofTrusted = reachOf(yield* headsOf((peerId) => trustedPeers.has(peerId)), 1)
    if (ofTrusted !== undefined) return ofTrusted
    const heads = yield* headsOf(() => true)
    const out = views.filter(({ descent }) => descent !== undefined && isOut(descent)).length
    const quorum = quorumOf(heads.length - out)
    return reachOf(heads, Number.isFinite(quorum) ? quorum : 1)
  })

  return Effect.fnUntraced(function* (views: ReadonlyArray<PeerView>) {
    const headBlock = yield* headOf(views)
    if (headBlock !== undefined && headBlock !== state.facts().headBlock) {
      yield* state.update({ headBlock })
    }
    const { counted, quorum } = electorate(views)
    if (!Number.isFinite(quorum)) return undefined
    const ids = new Set(counted.map(({ peerId }) => peerId))
    return reachOf(yield* headsOf((peerId) => ids.has(peerId)), quorum)
  })
})
