/**
 * Finds peers by discv4 (devp2p, `discv4.md`): walks the network from the bootnodes with lookups of
 * random targets, asks every node it hears of for its record (EIP-868), and gives those on our
 * chain as a stream.
 *
 *     join ─▶ lookup ─▶ rest ─┐        heard of ═▶ check, 16 at a time ═▶ candidates
 *      ▲ nobody   ▲           │        ═▶ bounded queue
 *      └ is left ─┴───────────┘
 *
 * The rest is short while new nodes turn up and doubles when none have for a while.
 *
 * Nodes whose record has no `eth` entry are passed over: on this network most of them are of other
 * protocols. Who is alive and does not give its record (it is older than EIP-868) is a candidate
 * without fork id. The address is the one that was proved, whatever the record says.
 *
 * Why not the library's `DPT`: see `discv4/protocol.ts`.
 *
 * Invariants: the walk waits when the stream is not read; no candidate is given without an answer
 * from its address; a node is checked once in {@link Discv4SourceOptions.recheckMs}; memory is
 * bounded by {@link CHECKED_NODES}, the table and the queue. The stream ends only without bootnodes.
 */
import {
  Clock,
  Context,
  Duration,
  Effect,
  Either,
  Layer,
  Mailbox,
  Queue,
  type Scope,
  Stream,
} from "effect"
import { Chain } from "../chain/Chain.ts"
import type { ChainSpec } from "../chain/chainSpec.ts"
import type { Enode } from "../chain/enode.ts"
import { forkIdAt, forkIdFits } from "../chain/forkId.ts"
import { fromHex } from "../domain/hex.ts"
import type { ListenError } from "../wire/WireError.ts"
import { AgeingMap } from "./discv4/ageingMap.ts"
import type { OpenDatagrams } from "./discv4/Datagrams.ts"
import {
  type Discv4Node,
  type Discv4Timing,
  randomTarget,
  startDiscv4,
} from "./discv4/Discv4Node.ts"
import type { Contact } from "./discv4/nodeTable.ts"
import type { Candidate, PeerSourceShape } from "./PeerSource.ts"

/** Where to start, and the tunables. */
export interface Discv4SourceOptions {
  readonly bootnodes: ReadonlyArray<Enode>
  /** secp256k1 key, 32 bytes, the same as for sessions. */
  readonly privateKey: Uint8Array
  /** IPv4 address to listen on; all of them by default. */
  readonly host?: string
  /** UDP port; 0, the default, lets the system choose. */
  readonly port?: number
  /** Where we take TCP connections; 0, the default, when we do not. */
  readonly tcpPort?: number
  /** Nodes that are checked at once. 16: about as many a second, half of them long gone. */
  readonly checksAtOnce?: number
  /** From one lookup to the next while there is something new. */
  readonly restMs?: number
  /** Longest rest, when nothing is. */
  readonly maxRestMs?: number
  /** When a node is checked and given again. 30 minutes: nodes restart and move on. */
  readonly recheckMs?: number
  /** Candidates that wait to be read, and nodes that wait for their check, of each. */
  readonly queued?: number
  readonly timing?: Partial<Discv4Timing>
  /** UDP by default. */
  readonly open?: OpenDatagrams
}

/** What became of the nodes that were checked, since the start. */
export interface Discv4Counts {
  readonly given: number
  /** Of those given: without a fork id, since they gave no record. */
  readonly givenUnseen: number
  readonly silent: number
  /** Another chain, no `eth` entry, no TCP port, or a record that is none. */
  readonly unfit: number
}

/** See the module. */
export interface Discv4SourceShape extends PeerSourceShape {
  readonly counts: Effect.Effect<Discv4Counts>
}

/** Nodes whose check is remembered, some 200 bytes each. */
const CHECKED_NODES = 16_384

/** When a silent node is tried again, should somebody name it: it may just have been starting. */
const SILENT_RECHECK_MS = 120_000

/** Lookups in a row without anybody new before the rests grow: each sees a small part only. */
const FRUITLESS_LOOKUPS = 16

const defaults = {
  host: "0.0.0.0",
  port: 0,
  tcpPort: 0,
  checksAtOnce: 16,
  restMs: 500,
  maxRestMs: 30_000,
  recheckMs: 30 * 60_000,
  queued: 64,
}

/** See {@link Discv4SourceShape}. */
export class Discv4Source extends Context.Tag("annals/Discv4Source")<
  Discv4Source,
  Discv4SourceShape
>() {
  /** Over UDP; the socket lives as long as the Layer. Fails when the port cannot be had. */
  static readonly layer = (
    options: Discv4SourceOptions,
  ): Layer.Layer<Discv4Source, ListenError, Chain> =>
    Layer.scoped(
      Discv4Source,
      Effect.flatMap(Chain, (chain) => startDiscv4Source(chain, options)),
    )
}

/** As {@link Discv4Source.layer}, without the Layer. */
export const startDiscv4Source = (
  chain: ChainSpec,
  given: Discv4SourceOptions,
): Effect.Effect<Discv4SourceShape, ListenError, Scope.Scope> =>
  Effect.gen(function* () {
    const options = { ...defaults, ...given }
    const tally = { given: 0, givenUnseen: 0, silent: 0, unfit: 0 }
    const counts = Effect.sync(() => ({ ...tally }))
    if (options.bootnodes.length === 0) {
      return { candidates: Stream.empty, description: "no bootnode was given", counts }
    }
    // Not where we are but where the chain is by now: others filter by it as we do.
    const time = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    const forkId = forkIdAt(chain, { number: chain.forkBlocks.at(-1) ?? 0, time })
    const node = yield* startDiscv4({ ...options, forkId })
    const checked = new AgeingMap<true>(CHECKED_NODES)
    return {
      candidates: crawlForever({ chain, node, options, tally, checked }),
      description: `discv4 from ${options.bootnodes.length} bootnodes`,
      counts,
    }
  })

type Writable<A> = { -readonly [K in keyof A]: A[K] }

interface Crawler {
  readonly chain: ChainSpec
  readonly node: Discv4Node
  readonly options: typeof defaults
  readonly tally: Writable<Discv4Counts>
  /** Who was checked not long ago, at which address. */
  readonly checked: AgeingMap<true>
}

const crawlForever = (crawler: Crawler): Stream.Stream<Candidate> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const found = yield* Mailbox.make<Candidate>({ capacity: crawler.options.queued })
      const toCheck = yield* Queue.bounded<Contact>(crawler.options.queued)
      const checkOne = Effect.flatMap(Queue.take(toCheck), (contact) =>
        check(crawler, found, contact),
      )
      for (let n = 0; n < crawler.options.checksAtOnce; n++) {
        yield* checkOne.pipe(Effect.forever, Effect.forkScoped)
      }
      yield* crawl(crawler, toCheck).pipe(Effect.forkScoped)
      return Mailbox.toStream(found)
    }),
  )

const crawl = Effect.fnUntraced(function* (
  crawler: Crawler,
  toCheck: Queue.Enqueue<Contact>,
): Effect.fn.Return<never> {
  const { node, options } = crawler
  let restMs = options.restMs
  let fruitless = 0
  // The first lookup is for our own place, so that those near us come to know us.
  let target = fromHex(node.nodeId)
  for (;;) {
    if ((yield* node.contacts).length === 0) yield* node.join
    let news = false
    const heard = (contacts: ReadonlyArray<Contact>): Effect.Effect<void> =>
      Effect.flatMap(unchecked(crawler, contacts), (fresh) => {
        news ||= fresh.length > 0
        return Queue.offerAll(toCheck, fresh)
      })
    // Others may have found us: they are in the table and in nobody's answer.
    yield* heard(yield* node.contacts)
    yield* node.lookup(target, heard)
    fruitless = news ? 0 : fruitless + 1
    restMs =
      fruitless < FRUITLESS_LOOKUPS ? options.restMs : Math.min(2 * restMs, options.maxRestMs)
    yield* Effect.sleep(Duration.millis(restMs))
    target = yield* randomTarget
  }
})

/** Those who were not checked lately; from now on they were. */
const unchecked = (
  { checked, options }: Crawler,
  contacts: ReadonlyArray<Contact>,
): Effect.Effect<ReadonlyArray<Contact>> =>
  Effect.map(Clock.currentTimeMillis, (nowMs) =>
    contacts.filter((contact) => {
      const key = keyOf(contact)
      if (checked.get(key, nowMs) !== undefined) return false
      checked.set(key, true, nowMs + options.recheckMs)
      return true
    }),
  )

/** With its address: who names a node at a wrong one must not hide it. */
const keyOf = ({ nodeId, ip, udpPort }: Contact): string => `${nodeId}@${ip}:${udpPort}`

/** Asks a node for its record and gives it when it is one for us. */
const check = Effect.fnUntraced(function* (
  { node, chain, tally, checked }: Crawler,
  found: Mailbox.Mailbox<Candidate>,
  contact: Contact,
) {
  const answer = yield* node.requestRecord(contact).pipe(
    // Datagrams get lost: once is no proof.
    Effect.retry({ times: 1, while: (error) => error._tag === "Discv4Silent" }),
    Effect.either,
  )
  if (Either.isLeft(answer)) {
    const error = answer.left
    if (error._tag === "Discv4BadRecord") tally.unfit += 1
    else if (error.what !== "record") {
      tally.silent += 1
      const nowMs = yield* Clock.currentTimeMillis
      checked.set(keyOf(contact), true, nowMs + SILENT_RECHECK_MS)
    } else if (contact.tcpPort === 0) tally.unfit += 1
    else {
      tally.given += 1
      tally.givenUnseen += 1
      yield* found.offer({ enode: enodeOf(contact, contact.tcpPort), source: "discv4" })
    }
    return
  }
  const { forkId, tcpPort = contact.tcpPort } = answer.right
  const nowSeconds = Math.floor((yield* Clock.currentTimeMillis) / 1000)
  if (forkId === undefined || tcpPort === 0 || !forkIdFits(chain, forkId, nowSeconds)) {
    tally.unfit += 1
    return
  }
  tally.given += 1
  yield* found.offer({ enode: enodeOf(contact, tcpPort), source: "discv4", forkId })
})

const enodeOf = ({ nodeId, ip, udpPort }: Contact, tcpPort: number): Enode => ({
  nodeId,
  host: ip,
  tcpPort,
  udpPort,
})
