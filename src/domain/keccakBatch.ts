/**
 * Keccak-256 of many messages at once, about one and a half times as fast as one by one: see
 * `keccakWasm.ts` for how.
 *
 * In: messages, written by the caller straight into a {@link KeccakBatch}'s memory, and jobs that
 * name them. Out: digests, at the places in that memory that the jobs name. Nothing is copied in
 * or out on the way.
 *
 * Invariants: a batch is one thread's; the caller's places are offsets from
 * {@link KeccakBatch.start} on; a message has {@link messageBytes} to itself. Tested against @noble/hashes.
 */
import { JOB_BYTES, keccakModule, RATE_BYTES, RESERVED_BYTES } from "./keccakWasm.ts"

const PAGE_BYTES = 65_536

/** How much room a message of `length` bytes needs: itself and its padding. */
export const messageBytes = (length: number): number => length - (length % RATE_BYTES) + RATE_BYTES

/** Compiled on first use: a program that hashes nothing does not wait for it. */
let compiled: WebAssembly.Module | undefined

/** A memory with room for messages and digests, and a table of what is to be hashed. */
export class KeccakBatch {
  /** The memory. Another array after each {@link KeccakBatch.reserve} that had to grow it. */
  bytes: Uint8Array
  /** Jobs that wait to be run. */
  jobs = 0
  /** The first offset that is the caller's. */
  readonly start: number
  readonly #maxJobs: number
  readonly #memory = new WebAssembly.Memory({ initial: 1 })
  readonly #hashAll: (jobs: number, jobsEnd: number) => void
  #table: Int32Array

  /** A batch of at most `maxJobs` jobs at a time. */
  constructor(maxJobs: number) {
    compiled ??= new WebAssembly.Module(keccakModule())
    const { exports } = new WebAssembly.Instance(compiled, { env: { memory: this.#memory } })
    this.#hashAll = exports["hashAll"]!
    this.#maxJobs = maxJobs
    this.start = RESERVED_BYTES + JOB_BYTES * maxJobs
    this.bytes = new Uint8Array(this.#memory.buffer)
    this.#table = new Int32Array(this.#memory.buffer)
    this.reserve(this.start)
  }

  /** Whether one more job has no place in the table. */
  get full(): boolean {
    return this.jobs === this.#maxJobs
  }

  /** Grows the memory to at least `end` bytes; it never shrinks. */
  reserve(end: number): void {
    const missing = end - this.bytes.length
    if (missing <= 0) return
    this.#memory.grow(Math.ceil(missing / PAGE_BYTES))
    this.bytes = new Uint8Array(this.#memory.buffer)
    this.#table = new Int32Array(this.#memory.buffer)
  }

  /** Puts a job into the table: the digest of `bytes[at, at + length)` will be at `digestAt`. */
  add(at: number, length: number, digestAt: number): void {
    if (this.full) throw new RangeError("a full table of jobs")
    const job = (RESERVED_BYTES + JOB_BYTES * this.jobs) >> 2
    this.#table[job] = at
    this.#table[job + 1] = length
    this.#table[job + 2] = digestAt
    this.jobs += 1
  }

  /** Does all jobs; the table is empty then. */
  run(): void {
    this.#hashAll(RESERVED_BYTES, RESERVED_BYTES + JOB_BYTES * this.jobs)
    this.jobs = 0
  }

  /** Forgets all jobs, undone. */
  clear(): void {
    this.jobs = 0
  }
}
