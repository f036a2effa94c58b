/**
 * A peer in memory (`FakePeer.ts`) as a whole session, for what looks after sessions.
 */
import { Deferred, Effect } from "effect"
import type { ServedRange } from "../../src/peers/Peer.ts"
import type { Session, SessionClosed } from "../../src/wire/Session.ts"
import type { FakePeer } from "./FakePeer.ts"

/** A session that ends when it is told to. */
export const fakeSession = (
  fake: Pick<FakePeer, "peer">,
  announced: () => ServedRange,
): Effect.Effect<Session> =>
  Effect.map(Deferred.make<SessionClosed>(), (ended) => ({
    ...fake.peer,
    remote: { host: "127.0.0.1", port: 30303 },
    listenPort: 0,
    status: {
      version: 69,
      networkId: 1n,
      genesisHash: new Uint8Array(32),
      forkHash: new Uint8Array(4),
      forkNext: 0n,
      ...announcement(announced()),
    },
    announcedRange: () => announcement(announced()),
    bytesReceived: () => 0,
    lateAnswers: () => 0,
    openRequests: () => 0,
    sendRaw: () => Effect.void,
    disconnect: (reason) =>
      Effect.asVoid(
        Deferred.succeed<SessionClosed, never>(ended, { by: "us", reason, detail: "asked" }),
      ),
    closed: Deferred.await(ended),
  }))

const announcement = ({ from, to }: ServedRange) => ({
  earliestBlock: from,
  latestBlock: to,
  latestBlockHash: new Uint8Array(32),
})
