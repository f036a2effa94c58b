/**
 * Our side of a session, the same whoever dialled whom: who we are, the head that we announce, what
 * we answer.
 */
import { Effect } from "effect"
import { ByteGate } from "../fetch/ByteGate.ts"
import { HistoryAnswers } from "../serving/HistoryAnswers.ts"
import { OurHead } from "../serving/OurHead.ts"
import type { Introduction } from "../serving/OurHead.ts"
import type { EthVersion } from "../wire/hello.ts"
import type { SessionOptions } from "../wire/Session.ts"

/** Who we are in our sessions. */
export interface Identity {
  /** secp256k1 key, 32 bytes. */
  readonly privateKey: Uint8Array
  /** Our name in hello. */
  readonly clientId: string
}

/** For one session that is to be opened. */
export interface OurSide {
  readonly options: SessionOptions
  /** To be called once it is open; see {@link Introduction}. */
  readonly follow: Introduction["follow"]
}

/** Every version that we speak. */
const ETH_VERSIONS: ReadonlyArray<EthVersion> = [68, 69, 70]

/** Gives our side of the next session; `listenPort` is asked when it is made, 0 for none. */
export const makeOurSide = (
  identity: Identity,
  listenPort: () => number,
): Effect.Effect<() => OurSide, never, ByteGate | HistoryAnswers | OurHead> =>
  Effect.gen(function* () {
    const { admitFrame, unfinishedFrames } = yield* ByteGate
    const { onRequest, unsent } = yield* HistoryAnswers
    const ourHead = yield* OurHead
    return () => {
      const { localStatus, checkStatus, follow } = ourHead.introduction()
      const options = {
        ...identity,
        listenPort: listenPort(),
        ethVersions: ETH_VERSIONS,
        admitFrame,
        unfinishedFrames,
        onRequest,
        unsentAnswers: unsent,
        localStatus,
        checkStatus,
      }
      return { options, follow }
    }
  })
