/**
 * What a session does once it is open: requests and their answers by id, what the peer asks, what
 * it announces, pings, and the end. The contract is in `Session.ts`.
 *
 * Answers are matched in plain synchronous code, in the call that brings their last byte.
 */
import { type Clock, Deferred, Effect, FiberSet, type Scope } from "effect"
import { toHex } from "../domain/hex.ts"
import { RlpError } from "../domain/rlp.ts"
import { Allowance } from "./allowance.ts"
import { BreachError, isConduct } from "./breach.ts"
import { deadline } from "./Deadline.ts"
import {
  beginItems,
  beginReceipts,
  type BlockRange,
  decodeBlockRangeUpdate,
  encodeGetBlockBodies,
  encodeGetBlockHeaders,
  encodeGetReceipts,
  ETH,
  readAnswer,
} from "./ethMessages.ts"
import { EMPTY_LIST, ethCodeCount, P2P } from "./hello.ts"
import {
  defaultDropSilentAfterMs,
  defaultLimits,
  defaultPingEveryMs,
  type SessionLimits,
} from "./limits.ts"
import type { LinkFault, MessageLink } from "./MessageLink.ts"
import { type Matched, type OpenRequest, OpenRequests } from "./OpenRequests.ts"
import type { Opened } from "./Opening.ts"
import { Serving } from "./Serving.ts"
import type { Session, SessionClosed, SessionOptions } from "./Session.ts"
import {
  Disconnected,
  Malformed,
  type RequestError,
  type RequestKind,
  Timeout,
} from "./WireError.ts"

const ANSWERS: Readonly<Record<number, RequestKind>> = {
  [ETH.blockHeaders]: "headers",
  [ETH.blockBodies]: "bodies",
  [ETH.receipts]: "receipts",
}

const REQUESTS: ReadonlySet<number> = new Set([
  ETH.getBlockHeaders,
  ETH.getBlockBodies,
  ETH.getReceipts,
  ETH.getPooledTransactions,
])

/** What is read and dropped: we keep no pool and follow no gossip. */
const GOSSIP: ReadonlySet<number> = new Set([
  ETH.newBlockHashes,
  ETH.transactions,
  ETH.newBlock,
  ETH.newPooledTransactionHashes,
  ETH.pooledTransactions,
])

/** Bytes of a frame whose message weighs `bytes`: snappy's worst case, and the code. */
const frameBytesOf = (bytes: number): number => bytes + Math.ceil(bytes / 6) + 64

/** Makes the session of a link that went through all phases, and lets its messages flow. */
export const makeSession = (
  opened: Opened,
  inbound: boolean,
  options: SessionOptions,
): Effect.Effect<Session, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { link } = opened
    const clock = yield* Effect.clock
    const run = yield* FiberSet.makeRuntime<never, void, never>()
    const ended = yield* Deferred.make<SessionClosed>()
    const core = new SessionCore(opened, options, clock, ended)
    const session = core.session(inbound)
    const { onRequest } = options
    const serving = new Serving(
      link,
      opened.eth,
      onRequest && ((request) => onRequest(session, request)),
      run,
      options.limits?.maxServedAtOnce ?? defaultLimits.maxServedAtOnce,
      options.unsentAnswers,
    )
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => link.close("client_quitting", "scope closed")),
    )
    link.use({
      message: (code, payload) => core.onMessage(code, payload, serving),
      drain: () => serving.drain(),
      end: (closed, fault) => {
        serving.end()
        core.onEnd(closed, fault)
      },
    })
    const alive = keepAlive(link, options, clock)
    yield* Effect.forkScoped(Effect.raceFirst(alive, Deferred.await(ended)))
    link.admitFrames((sizeBytes) => core.fits(sizeBytes))
    opened.release()
    return session
  })

/**
 * Pings, and drops a peer that has gone silent, takes nothing any more, or does not come to the end
 * of a frame.
 */
const keepAlive = (
  link: MessageLink,
  options: SessionOptions,
  clock: Clock.Clock,
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const pingEveryMs = options.pingEveryMs ?? defaultPingEveryMs
    const patienceMs = options.dropSilentAfterMs ?? defaultDropSilentAfterMs
    let pingAt = clock.unsafeCurrentTimeMillis() + pingEveryMs
    while (link.ended === undefined) {
      const now = clock.unsafeCurrentTimeMillis()
      const deadEnd = Math.min(link.heardAt, link.congestedSince ?? Infinity) + patienceMs
      if (now >= deadEnd) return link.close("ping_timeout", "silent")
      const frameDue = link.frameDueMs(patienceMs) ?? Infinity
      if (now >= frameDue) return link.giveUpFrame()
      if (now >= pingAt) {
        link.send(P2P.ping, EMPTY_LIST)
        pingAt = now + pingEveryMs
      }
      yield* Effect.sleep(Math.max(1, Math.min(pingAt, deadEnd, frameDue) - now))
    }
  })

class SessionCore {
  readonly #opened: Opened
  readonly #link: MessageLink
  readonly #clock: Clock.Clock
  readonly #ended: Deferred.Deferred<SessionClosed>
  readonly #limits: SessionLimits
  readonly #gossip: Allowance
  readonly #gossipBytes: Allowance
  readonly #poolRequests: Allowance
  readonly #announcements: Allowance
  readonly #peerId: string
  readonly #open: OpenRequests
  #lateAnswers = 0
  #range: BlockRange | undefined
  /** The request that is to blame when the link ends as malformed just now. */
  #blamed: OpenRequest | undefined

  constructor(
    opened: Opened,
    options: SessionOptions,
    clock: Clock.Clock,
    ended: Deferred.Deferred<SessionClosed>,
  ) {
    const { status } = opened
    this.#opened = opened
    this.#link = opened.link
    this.#clock = clock
    this.#ended = ended
    this.#limits = { ...defaultLimits, ...options.limits }
    this.#open = new OpenRequests(this.#limits.maxAnswerBytes)
    const nowMs = clock.unsafeCurrentTimeMillis()
    this.#gossip = new Allowance(this.#limits.gossip, nowMs)
    this.#gossipBytes = new Allowance(this.#limits.gossipBytes, nowMs)
    this.#poolRequests = new Allowance(this.#limits.poolRequests, nowMs)
    this.#announcements = new Allowance(this.#limits.announcements, nowMs)
    this.#peerId = toHex(opened.remoteId)
    if (status.version !== 68) {
      const { earliestBlock, latestBlock, latestBlockHash } = status
      this.#range = { earliestBlock, latestBlock, latestBlockHash }
    }
  }

  /** The session as others see it. */
  session(inbound: boolean): Session {
    const { hello, eth, status } = this.#opened
    const link = this.#link
    return {
      peerId: this.#peerId,
      remote: link.transport.remote,
      inbound,
      client: hello.clientId,
      listenPort: hello.listenPort,
      ethVersion: eth.version,
      status,
      announcedRange: () => this.#range,
      bytesReceived: () => link.bytesReceived,
      lateAnswers: () => this.#lateAnswers,
      openRequests: () => this.#open.size,
      heldMs: () => link.heldMs,
      ...this.#requests(),
      sendRaw: (code, payload) => Effect.sync(() => link.send(eth.offset + code, payload)),
      disconnect: (reason) => Effect.sync(() => link.close(reason, "asked")),
      closed: Deferred.await(this.#ended),
    }
  }

  #requests(): Pick<Session, "getBlockHeaders" | "getBlockBodies" | "getReceipts"> {
    const { version } = this.#opened.eth
    return {
      getBlockHeaders: (query, timeoutMs) =>
        Effect.map(
          this.#request("headers", query.limit, timeoutMs, ETH.getBlockHeaders, (id) =>
            encodeGetBlockHeaders(id, query),
          ),
          ({ answer, bytes, elapsedMs }) => ({ headers: answer.items, bytes, elapsedMs }),
        ),
      getBlockBodies: (hashes, timeoutMs) =>
        Effect.map(
          this.#request("bodies", hashes.length, timeoutMs, ETH.getBlockBodies, (id) =>
            encodeGetBlockBodies(id, hashes),
          ),
          ({ answer, bytes, elapsedMs }) => ({ bodies: answer.items, bytes, elapsedMs }),
        ),
      getReceipts: (hashes, firstBlockReceiptIndex, timeoutMs) => {
        if (firstBlockReceiptIndex > 0 && version < 70) {
          return Effect.dieMessage(`eth/${version} cannot ask for a part of a block's receipts`)
        }
        return Effect.map(
          this.#request("receipts", hashes.length, timeoutMs, ETH.getReceipts, (id) =>
            encodeGetReceipts(version, id, hashes, firstBlockReceiptIndex),
          ),
          ({ answer, bytes, elapsedMs }) => ({
            lists: answer.items,
            lastBlockIncomplete: answer.lastBlockIncomplete,
            bytes,
            elapsedMs,
          }),
        )
      },
    }
  }

  #request(
    kind: RequestKind,
    limit: number,
    timeoutMs: number,
    code: number,
    encode: (id: bigint) => Uint8Array,
  ): Effect.Effect<Matched, RequestError> {
    const peerId = this.#peerId
    return Effect.async<Matched, RequestError>((resume) => {
      const ended = this.#link.ended
      if (ended !== undefined) {
        resume(Effect.fail(new Disconnected({ peerId, reason: ended.reason })))
        return
      }
      const startedNanos = this.#clock.unsafeCurrentTimeNanos()
      const id = this.#open.add({ kind, limit, startedNanos, resume })
      this.#link.send(this.#opened.eth.offset + code, encode(id))
      return Effect.sync(() => this.#open.giveUp(id))
    }).pipe(
      Effect.raceFirst(
        Effect.zipRight(
          deadline(timeoutMs, () => this.#link.heldMs),
          new Timeout({ what: kind, afterMs: timeoutMs, peerId }),
        ),
      ),
    )
  }

  /** Whether a frame of this size may come now. */
  fits(sizeBytes: number): boolean {
    return (
      sizeBytes <= this.#limits.maxGossipBytes ||
      sizeBytes <= frameBytesOf(this.#open.mostAwaited(undefined))
    )
  }

  /** A message after opening; what is thrown ends the link, which then calls `onEnd`. */
  onMessage(wireCode: number, payload: Uint8Array, serving: Serving): void {
    const { version, offset } = this.#opened.eth
    const code = wireCode - offset
    if (code < 0 || code >= ethCodeCount(version)) {
      throw new BreachError("unexpected_message", `code ${wireCode}`)
    }
    const kind = ANSWERS[code]
    if (kind !== undefined) return this.#onAnswer(kind, payload)
    if (GOSSIP.has(code)) return this.#onGossip(payload.length)
    const { maxMessageBytes } = this.#limits
    if (REQUESTS.has(code)) {
      // Answered without a pace, and so without the wait that slows other requests down.
      if (code === ETH.getPooledTransactions) this.#onPoolRequest()
      return serving.request(code, this.#link.open(payload, maxMessageBytes))
    }
    if (code !== ETH.blockRangeUpdate) {
      throw new BreachError(
        "unexpected_message",
        code === ETH.status ? "Status" : `code ${wireCode}`,
      )
    }
    if (!this.#announcements.take(1, this.#clock.unsafeCurrentTimeMillis())) {
      throw new BreachError("flood", "announcements")
    }
    const range = decodeBlockRangeUpdate(this.#link.open(payload, maxMessageBytes))
    if (range.earliestBlock > range.latestBlock) throw new RlpError("a range upside down", 0)
    this.#range = range
  }

  #onPoolRequest(): void {
    if (this.#poolRequests.take(1, this.#clock.unsafeCurrentTimeMillis())) return
    throw new BreachError("flood", "requests for transactions")
  }

  #onGossip(bytes: number): void {
    const nowMs = this.#clock.unsafeCurrentTimeMillis()
    if (!this.#gossip.take(1, nowMs)) throw new BreachError("flood", "messages of gossip")
    if (!this.#gossipBytes.take(bytes, nowMs)) throw new BreachError("flood", "bytes of gossip")
  }

  #onAnswer(kind: RequestKind, payload: Uint8Array): void {
    // Until the id is known, the oldest request of the kind stands for the answer.
    this.#blamed = this.#open.oldest(kind)
    const mostBytes = this.#open.mostAwaited(kind)
    // Not even opened: what nobody asked for shall cost nothing.
    if (mostBytes === 0) throw new BreachError("unasked_answer", kind)
    const plain = this.#link.open(payload, mostBytes)
    const head =
      kind === "receipts" ? beginReceipts(this.#opened.eth.version, plain) : beginItems(plain)
    const request = this.#open.get(head.requestId)
    if (request === undefined) {
      this.#blamed = undefined
      if (!this.#open.takeLate(head.requestId)) throw new BreachError("unasked_answer", kind)
      this.#lateAnswers += 1
      return
    }
    this.#blamed = request
    if (request.kind !== kind) {
      throw new BreachError("wrong_answer", `${kind} in answer to ${request.kind}`)
    }
    const answer = readAnswer(head, request.limit)
    this.#blamed = undefined
    this.#open.answered(answer.requestId)
    const elapsedNanos = this.#clock.unsafeCurrentTimeNanos() - request.startedNanos
    const elapsedMs = Number(elapsedNanos) / 1e6
    request.resume(Effect.succeed({ answer, bytes: plain.length, elapsedMs }))
  }

  /** The link is over: every open request fails at once. */
  onEnd(closed: SessionClosed, fault: LinkFault | undefined): void {
    const peerId = this.#peerId
    const isLie = fault !== undefined && !isConduct(fault.breach)
    const blamed = isLie ? (this.#blamed ?? this.#open.oldest(undefined)) : undefined
    for (const request of this.#open.takeAll()) {
      const error =
        fault !== undefined && request === blamed
          ? new Malformed({ peerId, what: this.#whatOf(fault, request), reason: fault.reason })
          : new Disconnected({ peerId, reason: closed.reason })
      request.resume(Effect.fail(error))
    }
    Deferred.unsafeDone(this.#ended, Effect.succeed(closed))
  }

  #whatOf(fault: LinkFault, request: OpenRequest): Malformed["what"] {
    if (fault.code === undefined) return "frame"
    const isAnswer = ANSWERS[fault.code - this.#opened.eth.offset] !== undefined
    return isAnswer ? request.kind : "message"
  }
}
