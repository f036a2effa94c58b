/**
 * What a session has asked and what may still come for it: the requests that wait for their answers,
 * and those that were given up, of which an answer that comes late is known for one.
 *
 * In: requests as they are made, given up and answered, in plain synchronous code. Out: which one an
 * answer is for, and what the largest answer may weigh, so that nothing larger is even read.
 *
 * Invariants: an id is never used twice; of what was given up the last {@link MOST_GIVEN_UP} are
 * known.
 */
import type { Effect } from "effect"
import { MOST_HEADER_BYTES } from "../domain/header.ts"
import type { EthAnswer } from "./ethMessages.ts"
import type { RequestError, RequestKind } from "./WireError.ts"

/** An answer that fits its request. */
export interface Matched {
  readonly answer: EthAnswer
  readonly bytes: number
  readonly elapsedMs: number
}

/** What may still come for a request. */
interface Awaited {
  readonly kind: RequestKind
  /** The most that its answer may weigh decompressed, in bytes. */
  readonly mostBytes: number
}

/** A request that waits for its answer. */
export interface OpenRequest extends Awaited {
  /** The most items that the answer may have. */
  readonly limit: number
  readonly startedNanos: bigint
  readonly resume: (result: Effect.Effect<Matched, RequestError>) => void
}

/**
 * What an answer may weigh beside its headers, in bytes: a header that is too long is refused by who
 * reads it, under its own name.
 */
const HEADERS_SLACK_BYTES = 256 * 1024

/** Requests that were given up, of which a late answer is known for one. */
const MOST_GIVEN_UP = 64

/** The requests of one session, oldest first. */
export class OpenRequests {
  readonly #maxAnswerBytes: number
  readonly #open = new Map<bigint, OpenRequest>()
  /** Requests that ended without an answer, by id, the oldest first. */
  readonly #givenUp = new Map<bigint, Awaited>()
  #nextId = 1n

  /** `maxAnswerBytes`: the most that any answer may weigh decompressed. */
  constructor(maxAnswerBytes: number) {
    this.#maxAnswerBytes = maxAnswerBytes
  }

  /** How many wait for an answer. */
  get size(): number {
    return this.#open.size
  }

  /** A request is made; gives its id. */
  add(request: Omit<OpenRequest, "mostBytes">): bigint {
    const id = this.#nextId++
    const mostBytes = this.#mostBytes(request.kind, request.limit)
    this.#open.set(id, { ...request, mostBytes })
    return id
  }

  /** The request that waits for its answer under this id. */
  get(id: bigint): OpenRequest | undefined {
    return this.#open.get(id)
  }

  /** A request has its answer. */
  answered(id: bigint): void {
    this.#open.delete(id)
  }

  /** Nobody waits for the answer any more; nothing happens where it has come. */
  giveUp(id: bigint): void {
    const request = this.#open.get(id)
    if (request === undefined) return
    this.#open.delete(id)
    const { kind, mostBytes } = request
    this.#givenUp.set(id, { kind, mostBytes })
    if (this.#givenUp.size <= MOST_GIVEN_UP) return
    for (const oldest of this.#givenUp.keys()) {
      this.#givenUp.delete(oldest)
      return
    }
  }

  /** Whether an answer is a late one, of a request that was given up; the next is not. */
  takeLate(id: bigint): boolean {
    return this.#givenUp.delete(id)
  }

  /** What the largest answer may weigh that may still come, of one kind or of any; 0 for none. */
  mostAwaited(kind: RequestKind | undefined): number {
    let most = 0
    for (const awaited of this.#open.values()) {
      if (kind === undefined || awaited.kind === kind) most = Math.max(most, awaited.mostBytes)
    }
    for (const awaited of this.#givenUp.values()) {
      if (kind === undefined || awaited.kind === kind) most = Math.max(most, awaited.mostBytes)
    }
    return most
  }

  /** The open request that was made first, of one kind or of any. */
  oldest(kind: RequestKind | undefined): OpenRequest | undefined {
    for (const request of this.#open.values()) {
      if (kind === undefined || request.kind === kind) return request
    }
    return undefined
  }

  /** Ends all waiting: nothing is awaited any more. Gives the requests that waited. */
  takeAll(): ReadonlyArray<OpenRequest> {
    const requests = [...this.#open.values()]
    this.#open.clear()
    this.#givenUp.clear()
    return requests
  }

  /** What an answer of `limit` items may weigh. */
  #mostBytes(kind: RequestKind, limit: number): number {
    return kind === "headers"
      ? Math.min(this.#maxAnswerBytes, limit * MOST_HEADER_BYTES + HEADERS_SLACK_BYTES)
      : this.#maxAnswerBytes
  }
}
