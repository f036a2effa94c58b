/**
 * The start of every mode that talks to peers: wait for enough of them, and say what was tried when
 * there are none.
 */
import { Clock, Duration, Effect } from "effect"
import { Terminal } from "../observe/Terminal.ts"
import { Inbound } from "../peers/Inbound.ts"
import { Dialer } from "../peers/Dialer.ts"
import { type PooledPeer, PeerPool } from "../peers/PeerPool.ts"
import { PeerSource } from "../peers/PeerSource.ts"
import { Settings } from "../Settings.ts"

const LOOK_EVERY_MS = 20
/** However soon blocks are given up: a first handshake with somebody far away takes its time. */
const LEAST_WAIT_MS = 3_000
const TELL_EVERY_MS = 10_000
/**
 * How long work waits at least where more peers may come: the first to answer may be a straggler,
 * whose head would end the run and who would be given everything.
 */
const WARM_UP_MS = 2_000
/** How many of the nodes that were tried are named. */
const MOST_NAMED = 20

/**
 * Waits for `minPeers` peers, and for two seconds where others may still come. Gives those there are when the wait is over: enough of them, or as
 * many as came within `giveUpMs`, or none when nobody is left to dial.
 */
export const gatherPeers: Effect.Effect<
  ReadonlyArray<PooledPeer>,
  never,
  PeerPool | Dialer | Inbound | Settings | Terminal
> = Effect.gen(function* () {
  const { minPeers, giveUpMs } = yield* Settings
  const pool = yield* PeerPool
  const dialer = yield* Dialer
  const inbound = yield* Inbound
  const terminal = yield* Terminal

  const enough = pool.connected.pipe(
    Effect.tap((peers) =>
      peers.length < minPeers ? Effect.sleep(Duration.millis(LOOK_EVERY_MS)) : Effect.void,
    ),
    Effect.repeat({ until: (peers) => peers.length >= minPeers }),
  )
  const warm = dialer.quiet.pipe(
    Effect.tap((quiet) => (quiet ? Effect.void : Effect.sleep(Duration.millis(LOOK_EVERY_MS)))),
    Effect.repeat({ until: (quiet) => quiet }),
    Effect.race(Effect.sleep(Duration.millis(WARM_UP_MS))),
  )
  const tell = pool.connected.pipe(
    Effect.flatMap((peers) => terminal.progress(`waiting for peers: ${peers.length}/${minPeers}`)),
    Effect.zipRight(Effect.sleep(Duration.millis(terminal.interactive ? 500 : TELL_EVERY_MS))),
    Effect.forever,
  )
  yield* Effect.all([enough, warm], { concurrency: "unbounded", discard: true }).pipe(
    // Where we listen, somebody may come whom nobody named.
    Effect.race(inbound.port === 0 ? dialer.noneLeft : Effect.never),
    Effect.race(tell),
    Effect.timeoutOption(Duration.millis(Math.max(giveUpMs, LEAST_WAIT_MS))),
    Effect.ensuring(terminal.endProgress),
  )
  const peers = yield* pool.connected
  if (peers.length > 0 && peers.length < minPeers) {
    const line = `annals: only ${peers.length} of ${minPeers} peers came; starting with them`
    yield* terminal.log(line, "warning")
  }
  return peers
})

/** Says on stderr that no peer was usable, and what became of each that was tried. */
export const tellNoPeers: Effect.Effect<void, never, Dialer | PeerSource | Terminal> = Effect.gen(
  function* () {
    const terminal = yield* Terminal
    const dialer = yield* Dialer
    const source = yield* PeerSource
    const records = yield* dialer.records
    yield* terminal.log(`annals: no peer was usable: ${source.description}`, "error")
    for (const { enode, outcome } of records.slice(0, MOST_NAMED)) {
      yield* terminal.log(`  ${enode}: ${outcome}`)
    }
    if (records.length > MOST_NAMED) {
      yield* terminal.log(`  and ${records.length - MOST_NAMED} more`)
    }
  },
)

/** Milliseconds on the run's clock since `startMs`. */
export const elapsedSince = (startMs: number): Effect.Effect<number> =>
  Effect.map(Clock.currentTimeMillis, (nowMs) => nowMs - startMs)
