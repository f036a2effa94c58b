/**
 * Answers to what a peer asks of us.
 *
 * In: eth messages that are requests. Out: answers on the link, in the order of arrival when one is
 * worked on at a time.
 *
 * Invariants: at most `atOnce` requests are worked on; while that many are, or while the peer does
 * not take what we have sent, further ones wait, up to {@link MOST_WAITING_BYTES}, so that its answers
 * to us, which come after them, are read all the same. Beyond that nothing more is read from the peer,
 * at the cost of its own deadlines. What a peer has not taken yet is booked in the
 * {@link UnsentAnswers}, until it has, or the session ends.
 */
import { Cause, Effect, type Fiber } from "effect"
import {
  decodeGetBlockBodies,
  decodeGetBlockHeaders,
  decodeGetReceipts,
  decodeRequestId,
  encodeItems,
  encodeReceipts,
  ETH,
  type EthRequest,
} from "./ethMessages.ts"
import type { EthChannel } from "./hello.ts"
import type { MessageLink } from "./MessageLink.ts"

/** Works out the payload of an answer, or null for none. */
export type RequestHandler = (request: EthRequest) => Effect.Effect<Uint8Array | null>

/** Bytes of answers that are in memory because peers do not take them; shared by sessions. */
export interface UnsentAnswers {
  bytes: number
}

/** Runs a handler in the session's scope. */
export type RunHandler = (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<void>

type Job = () => Effect.Effect<void> | undefined

/** Answers that one peer has not taken, in bytes, beyond which it gets empty ones: two large ones. */
const MOST_UNSENT_BYTES = 4 * 1024 * 1024

/**
 * What waits for its turn of one peer's requests, in bytes of RLP and {@link REQUEST_BYTES} for each.
 * Views of the hashes take another three times their bytes.
 */
export const MOST_WAITING_BYTES = 64 * 1024

/** What a small request weighs in memory beside its RLP. */
export const REQUEST_BYTES = 256

/** A request that waits for its turn. */
interface Waiting {
  readonly job: Job
  readonly bytes: number
}

/** The answering side of one session. */
export class Serving {
  readonly #link: MessageLink
  readonly #eth: EthChannel
  readonly #handler: RequestHandler | undefined
  readonly #run: RunHandler
  readonly #atOnce: number
  readonly #unsent: UnsentAnswers | undefined
  /** Of `#unsent`, what is this peer's. */
  #unsentBytes = 0
  #running = 0
  readonly #waiting: Array<Waiting> = []
  #waitingBytes = 0
  #advancing = false
  /** Reads on; undefined while we read. */
  #readOn: (() => void) | undefined

  constructor(
    link: MessageLink,
    eth: EthChannel,
    handler: RequestHandler | undefined,
    run: RunHandler,
    atOnce: number,
    unsent?: UnsentAnswers,
  ) {
    this.#link = link
    this.#eth = eth
    this.#handler = handler
    this.#run = run
    this.#atOnce = atOnce
    this.#unsent = unsent
  }

  /** Takes the request `code` (relative to eth); its payload is RLP. Throws RlpError. */
  request(code: number, payload: Uint8Array): void {
    const job = this.#job(code, payload)
    if (this.#free) return this.#start(job)
    const bytes = payload.length + REQUEST_BYTES
    this.#waiting.push({ job, bytes })
    this.#waitingBytes += bytes
    if (this.#waitingBytes >= MOST_WAITING_BYTES) this.#readOn ??= this.#link.hold("theirs")
  }

  /** To be called when the link's outgoing buffer is empty again. */
  drain(): void {
    this.#book(-this.#unsentBytes)
    this.#next()
  }

  /** To be called when the link is over: nothing of it is in memory any more. */
  end(): void {
    this.#book(-this.#unsentBytes)
    this.#waiting.length = 0
    this.#waitingBytes = 0
    this.#readOn = undefined
  }

  get #free(): boolean {
    return this.#running < this.#atOnce && this.#link.congestedSince === undefined
  }

  #job(code: number, payload: Uint8Array): Job {
    if (code === ETH.getPooledTransactions) {
      const answer = encodeItems(decodeRequestId(payload), [])
      return () => this.#answer(ETH.pooledTransactions, answer)
    }
    const request = this.#decode(code, payload)
    const handler = this.#handler
    if (handler === undefined) return () => this.#answer(code + 1, this.#empty(request))
    return () =>
      Effect.suspend(() => handler(request)).pipe(
        Effect.map((answer) => {
          if (answer === null) return
          // Who takes nothing is told nothing more: others have a share in what may wait.
          const taken = this.#unsentBytes < MOST_UNSENT_BYTES
          this.#answer(code + 1, taken ? answer : this.#empty(request))
        }),
        Effect.tapErrorCause((cause) =>
          Cause.isInterruptedOnly(cause)
            ? Effect.void
            : Effect.logError(`answering ${request._tag} died`, cause),
        ),
      )
  }

  #decode(code: number, payload: Uint8Array): EthRequest {
    if (code === ETH.getBlockHeaders) return decodeGetBlockHeaders(payload)
    if (code === ETH.getBlockBodies) return decodeGetBlockBodies(payload)
    return decodeGetReceipts(this.#eth.version, payload)
  }

  #empty(request: EthRequest): Uint8Array {
    return request._tag === "GetReceipts"
      ? encodeReceipts(this.#eth.version, request.requestId, [])
      : encodeItems(request.requestId, [])
  }

  #answer(code: number, payload: Uint8Array): undefined {
    const link = this.#link
    link.send(this.#eth.offset + code, payload)
    if (link.congestedSince !== undefined && link.ended === undefined) this.#book(payload.length)
    return undefined
  }

  #book(bytes: number): void {
    this.#unsentBytes += bytes
    if (this.#unsent !== undefined) this.#unsent.bytes += bytes
  }

  #start(job: Job): void {
    const work = job()
    if (work === undefined) return
    this.#running += 1
    const fiber = this.#run(work)
    fiber.addObserver((exit) => {
      this.#running -= 1
      // A handler that dies is our bug; the peer must not wait for an answer that will not come.
      if (exit._tag === "Failure") this.#link.close("subprotocol_error", "handler died")
      this.#next()
    })
  }

  #next(): void {
    // What is done at once comes back here from within: one loop goes through all.
    if (this.#advancing) return
    this.#advancing = true
    while (this.#free && this.#link.ended === undefined) {
      const next = this.#waiting.shift()
      if (next === undefined) break
      this.#waitingBytes -= next.bytes
      this.#start(next.job)
    }
    this.#advancing = false
    const readOn = this.#readOn
    // Not for each that is done: what comes is read in gulps.
    if (readOn === undefined || this.#waitingBytes > MOST_WAITING_BYTES / 2) return
    this.#readOn = undefined
    readOn()
  }
}
