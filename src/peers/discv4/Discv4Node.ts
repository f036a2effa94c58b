/**
 * A node of discv4 on a socket: answers others, and asks them with deadlines. What is said and
 * believed is in `protocol.ts`; this adds the socket, the clock, lookups and the upkeep of the table.
 *
 * Invariants: every request ends within its deadline; socket and fibers end with the scope; what a
 * request waits with is gone when it ends, however it ends.
 */
import { isIPv4 } from "node:net"
import { lookup as resolveHost } from "node:dns/promises"
import { randomBytes } from "node:crypto"
import { Clock, Data, Duration, Effect, Option, Queue, Random, type Scope } from "effect"
import type { Enode } from "../../chain/enode.ts"
import { type Enr, isEnrInvalid, readEnr, signEnr } from "../../chain/enr.ts"
import type { ForkId } from "../../chain/forkId.ts"
import { toHex } from "../../domain/hex.ts"
import { publicKey } from "../../domain/secp256k1.ts"
import type { ListenError } from "../../wire/WireError.ts"
import { reachOf } from "./addresses.ts"
import { type OpenDatagrams, openUdp } from "./Datagrams.ts"
import { afterNeighbors, nextToAsk, startLookup } from "./lookup.ts"
import { BUCKET_NODES, type Contact, placeOf } from "./nodeTable.ts"
import { wireEndpoint } from "./packet.ts"
import { Discv4Protocol } from "./protocol.ts"
import type { Cancel } from "./waiters.ts"

/** A node did not answer in time. Nobody is to blame: addresses go stale, datagrams get lost. */
export class Discv4Silent extends Data.TaggedError("Discv4Silent")<{
  readonly what: "pong" | "neighbors" | "record"
  readonly nodeId: string
  readonly afterMs: number
}> {}

/** A node sent a record that is none, or is another node's; the node is to blame. */
export class Discv4BadRecord extends Data.TaggedError("Discv4BadRecord")<{
  readonly nodeId: string
  /** One clause in plain words. */
  readonly reason: string
}> {}

/** A bootnode's name has no IPv4 address. */
export class Discv4Unresolved extends Data.TaggedError("Discv4Unresolved")<{
  readonly host: string
}> {}

/** How long things take. Milliseconds. */
export interface Discv4Timing {
  /** Deadline of a request: a round trip to the other side of the world takes 0.3 s. */
  readonly requestMs: number
  /** How long a node is given to ping back, before it is taken to know us. */
  readonly pingBackMs: number
  /** How long after Neighbors more of them may come: an answer has two packets. */
  readonly moreNeighborsMs: number
  /** Rest between pings of the table's stalest nodes. */
  readonly revalidateMs: number
  /** First rest when no bootnode answers; doubles. */
  readonly joinRetryMs: number
  /** Longest such rest. */
  readonly maxJoinRetryMs: number
}

/** The timing on real networks. */
export const defaultTiming: Discv4Timing = {
  requestMs: 1_000,
  pingBackMs: 500,
  moreNeighborsMs: 150,
  revalidateMs: 10_000,
  joinRetryMs: 1_000,
  maxJoinRetryMs: 30_000,
}

/** A node to start. */
export interface Discv4Options {
  /** IPv4 address to listen on. */
  readonly host: string
  /** UDP port; 0 lets the system choose. */
  readonly port: number
  /** Where we take TCP connections; 0 when we do not. */
  readonly tcpPort: number
  /** secp256k1 key, 32 bytes, the same as for sessions. */
  readonly privateKey: Uint8Array
  /** For the `eth` entry of our record (EIP-2124). */
  readonly forkId: ForkId
  /** Who is asked first. */
  readonly bootnodes: ReadonlyArray<Enode>
  readonly timing?: Partial<Discv4Timing>
  /** UDP by default. */
  readonly open?: OpenDatagrams
}

/** A node that runs. */
export interface Discv4Node {
  /** 128 hex digits. */
  readonly nodeId: string
  /** The port that it listens on. */
  readonly udpPort: number
  /** Everybody in the table; all have proved their endpoint. */
  readonly contacts: Effect.Effect<ReadonlyArray<Contact>>
  /** Proves both endpoints to each other, where that is not done yet. */
  readonly bond: (contact: Contact) => Effect.Effect<void, Discv4Silent>
  /** The nodes that a node knows nearest to `target` (a public key, 64 bytes). */
  readonly findNode: (
    contact: Contact,
    target: Uint8Array,
  ) => Effect.Effect<ReadonlyArray<Contact>, Discv4Silent>
  /** The node's record, checked to be its own (EIP-868). */
  readonly requestRecord: (contact: Contact) => Effect.Effect<Enr, Discv4Silent | Discv4BadRecord>
  /**
   * Asks nearer and nearer nodes. Whoever is heard of on the way, proved or not, is handed to
   * `heard` at once, some more than once; the search waits for it.
   */
  readonly lookup: (
    target: Uint8Array,
    heard?: (contacts: ReadonlyArray<Contact>) => Effect.Effect<void>,
  ) => Effect.Effect<void>
  /** Bonds with the bootnodes; ends when one has answered, or there is none. */
  readonly join: Effect.Effect<void>
  /** Requests that are open. */
  readonly openRequests: Effect.Effect<number>
}

/** Starts a node; it answers as long as the scope. A private key that is none is a defect. */
export const startDiscv4 = (
  options: Discv4Options,
): Effect.Effect<Discv4Node, ListenError, Scope.Scope> =>
  Effect.gen(function* () {
    const timing = { ...defaultTiming, ...options.timing }
    const { protocol, udpPort, nodeId } = yield* listenWith(options)
    const requests = makeRequests(protocol, timing)
    yield* revalidate(protocol, requests, timing).pipe(Effect.forkScoped)
    return {
      ...requests,
      nodeId,
      udpPort,
      contacts: Effect.sync(() => protocol.table.contacts()),
      lookup: makeLookup(protocol, requests, nodeId),
      join: makeJoin(protocol, requests, options.bootnodes, timing),
      openRequests: Effect.sync(() => protocol.awaited),
    }
  })

/** A target for a lookup: any 64 bytes will do, they need not be a key. */
export const randomTarget: Effect.Effect<Uint8Array> = Effect.sync(
  () => new Uint8Array(randomBytes(64)),
)

/** Opens the socket and joins it to the protocol, which has to know the port. */
const listenWith = Effect.fnUntraced(function* (options: Discv4Options) {
  const { host, tcpPort, privateKey, forkId } = options
  const nodeId = toHex(publicKey(privateKey))
  const clock = yield* Effect.clock
  let protocol: Discv4Protocol | undefined
  const socket = yield* (options.open ?? openUdp)({ host, port: options.port }, (from, bytes) =>
    protocol?.receive(from, bytes, clock.unsafeCurrentTimeMillis()),
  )
  // A record with a later number replaces the one that others hold: seconds rise over restarts.
  const recordSeq = BigInt(Math.floor((yield* Clock.currentTimeMillis) / 1000) + 1)
  const record = signEnr(
    {
      seq: recordSeq,
      // Where we listen on every address we do not know which of them others see.
      ...(reachOf(host) === "none" ? {} : { ip: host }),
      udpPort: socket.port,
      ...(tcpPort === 0 ? {} : { tcpPort }),
      forkId,
    },
    privateKey,
  )
  protocol = new Discv4Protocol({
    privateKey,
    nodeId,
    endpoint: wireEndpoint(host, socket.port, tcpPort),
    record,
    recordSeq,
    send: socket.send,
  })
  return { protocol, udpPort: socket.port, nodeId }
})

/** Starts a request and waits for its first answer. */
const answered = <A>(
  start: (nowMs: number, answer: (value: A) => void) => Cancel,
): Effect.Effect<A> =>
  Effect.flatMap(Clock.currentTimeMillis, (nowMs) =>
    Effect.async<A>((resume) => {
      // An answer may come before `start` is through: then there is nothing yet to cancel.
      let over = false
      let cancel: Cancel | undefined
      cancel = start(nowMs, (value) => {
        over = true
        cancel?.()
        resume(Effect.succeed(value))
      })
      if (over) cancel()
      return Effect.sync(cancel)
    }),
  )

type Requests = Pick<Discv4Node, "bond" | "findNode" | "requestRecord"> & {
  readonly ping: (contact: Contact) => Effect.Effect<void, Discv4Silent>
}

const makeRequests = (protocol: Discv4Protocol, timing: Discv4Timing): Requests => {
  const within = <A>(
    wait: Effect.Effect<A>,
    what: Discv4Silent["what"],
    contact: Contact,
  ): Effect.Effect<A, Discv4Silent> =>
    wait.pipe(
      Effect.timeoutFail({
        duration: Duration.millis(timing.requestMs),
        onTimeout: () =>
          new Discv4Silent({ what, nodeId: contact.nodeId, afterMs: timing.requestMs }),
      }),
      Effect.tapError(() => Effect.sync(() => protocol.distrust(contact))),
    )

  const ping = (contact: Contact): Effect.Effect<void, Discv4Silent> =>
    within(
      answered<void>((nowMs, answer) => protocol.ping(contact, nowMs, answer)),
      "pong",
      contact,
    )

  const bond = Effect.fnUntraced(function* (contact: Contact) {
    if (protocol.isBonded(contact, yield* Clock.currentTimeMillis)) return
    yield* ping(contact)
    const knowsUs = yield* answered<void>((nowMs, pinged) =>
      protocol.awaitBond(contact, nowMs, pinged),
    ).pipe(Effect.timeoutOption(Duration.millis(timing.pingBackMs)))
    if (Option.isNone(knowsUs)) {
      protocol.assumeProvenTo(contact, yield* Clock.currentTimeMillis)
    }
  })

  const findNode = Effect.fnUntraced(function* (contact: Contact, target: Uint8Array) {
    yield* bond(contact)
    return yield* Effect.scoped(collectNeighbors(protocol, timing, within, contact, target))
  })

  const requestRecord = Effect.fnUntraced(function* (contact: Contact) {
    yield* bond(contact)
    const { nodeId } = contact
    const bytes = yield* within(
      answered<Uint8Array>((nowMs, answer) => protocol.requestRecord(contact, nowMs, answer)),
      "record",
      contact,
    )
    const record = readEnr(bytes)
    if (isEnrInvalid(record)) {
      return yield* new Discv4BadRecord({ nodeId, reason: record.reason })
    }
    if (record.nodeId !== nodeId) {
      return yield* new Discv4BadRecord({ nodeId, reason: "it is another node's" })
    }
    return record
  })

  return { ping, bond, findNode, requestRecord }
}

/** Sends FindNode and takes Neighbors until they are as many as an answer can have, or no more come. */
const collectNeighbors = Effect.fnUntraced(function* (
  protocol: Discv4Protocol,
  timing: Discv4Timing,
  within: <A>(
    wait: Effect.Effect<A>,
    what: Discv4Silent["what"],
    contact: Contact,
  ) => Effect.Effect<A, Discv4Silent>,
  contact: Contact,
  target: Uint8Array,
) {
  const answers = yield* Queue.dropping<ReadonlyArray<Contact>>(BUCKET_NODES)
  const nowMs = yield* Clock.currentTimeMillis
  yield* Effect.acquireRelease(
    Effect.sync(() =>
      protocol.findNode(contact, target, nowMs, (contacts) => {
        answers.unsafeOffer(contacts)
      }),
    ),
    (cancel) => Effect.sync(cancel),
  )
  const found = [...(yield* within(Queue.take(answers), "neighbors", contact))]
  while (found.length < BUCKET_NODES) {
    const more = yield* Queue.take(answers).pipe(
      Effect.timeoutOption(Duration.millis(timing.moreNeighborsMs)),
    )
    if (Option.isNone(more) || more.value.length === 0) break
    found.push(...more.value)
  }
  return found.slice(0, BUCKET_NODES)
})

const makeLookup =
  (protocol: Discv4Protocol, { findNode }: Requests, ownNodeId: string): Discv4Node["lookup"] =>
  (target, heard = () => Effect.void) =>
    Effect.gen(function* () {
      const place = placeOf(toHex(target))
      const seeds = protocol.table.closest(place, BUCKET_NODES)
      yield* heard(seeds)
      let search = startLookup(place, ownNodeId, seeds)
      for (;;) {
        const [asked, asking] = nextToAsk(search)
        search = asked
        if (asking.length === 0) return
        const answers = yield* Effect.forEach(
          asking,
          (contact) => Effect.option(findNode(contact, target)),
          { concurrency: "unbounded" },
        )
        for (const [at, answer] of answers.entries()) {
          const { nodeId } = asking[at]!
          search = afterNeighbors(search, nodeId, Option.getOrUndefined(answer), ownNodeId)
          if (Option.isSome(answer)) yield* heard(answer.value)
        }
      }
    })

const makeJoin = (
  protocol: Discv4Protocol,
  { bond }: Requests,
  bootnodes: ReadonlyArray<Enode>,
  timing: Discv4Timing,
): Effect.Effect<void> =>
  Effect.gen(function* () {
    let restMs = timing.joinRetryMs
    while (bootnodes.length > 0) {
      yield* Effect.forEach(
        bootnodes,
        (enode) =>
          contactOf(enode).pipe(
            Effect.flatMap(bond),
            Effect.catchAll((error) => Effect.logDebug("bootnode does not answer", error)),
          ),
        { concurrency: 8, discard: true },
      )
      // Others may have found us meanwhile: whoever knows somebody is in.
      if (protocol.table.size > 0) return
      yield* Effect.sleep(Duration.millis(restMs))
      restMs = Math.min(restMs * 2, timing.maxJoinRetryMs)
    }
  })

/** A bootnode as we reach it; its name is looked up each time, since addresses change. */
const contactOf = (enode: Enode): Effect.Effect<Contact, Discv4Unresolved> => {
  const { nodeId, host, tcpPort, udpPort } = enode
  const contact = (ip: string): Contact => ({ nodeId, ip, udpPort, tcpPort })
  if (isIPv4(host)) return Effect.succeed(contact(host))
  return Effect.tryPromise({
    try: async () => resolveHost(host, { family: 4 }),
    catch: () => new Discv4Unresolved({ host }),
  }).pipe(Effect.map(({ address }) => contact(address)))
}

/** Looks after the table for ever: one node after the other has to show that it still lives. */
const revalidate = (
  protocol: Discv4Protocol,
  { ping }: Requests,
  timing: Discv4Timing,
): Effect.Effect<never> =>
  Effect.gen(function* () {
    yield* Effect.sleep(Duration.millis(timing.revalidateMs))
    const contact = protocol.table.stalest(yield* Random.next)
    if (contact !== undefined) yield* Effect.ignore(ping(contact))
  }).pipe(Effect.forever)
