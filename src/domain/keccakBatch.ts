/**
 * Keccak-256 of many messages at once: by this project's addon, four or eight at a time, where it
 * was compiled and the processor has the vectors; in WebAssembly, two at a time, elsewhere. A
 * permutation then costs 31 ns with AVX-512, 100 with AVX2, 210 in WebAssembly, beside 230 and 340
 * one by one: see `native/keccak.c` and `keccakWasm.ts` for how.
 *
 * In: messages, written by the caller straight into a {@link KeccakBatch}'s memory, and jobs that
 * name them. Out: digests, at the places in that memory that the jobs name. Nothing is copied in
 * or out on the way.
 *
 * Invariants: a batch is one thread's; the caller's places are offsets from
 * {@link KeccakBatch.start} on; a message has {@link messageBytes} to itself. Tested against @noble/hashes.
 */
import { native } from "./native.ts"
import { JOB_BYTES, keccakModule, RATE_BYTES, RESERVED_BYTES } from "./keccakWasm.ts"

const PAGE_BYTES = 65_536

/** How much room a message of `length` bytes needs: itself and its padding. */
export const messageBytes = (length: number): number => length - (length % RATE_BYTES) + RATE_BYTES

/** Works through the jobs of a batch that lie between two offsets of its memory. */
type HashAll = (jobs: number, jobsEnd: number) => void

/** What does the hashing: given a batch and its memory, how it works through its jobs. */
export type BatchEngine = (batch: KeccakBatch, memory: WebAssembly.Memory) => HashAll

/** Compiled on first use: a program that hashes nothing does not wait for it. */
let compiled: WebAssembly.Module | undefined

/** In WebAssembly. */
export const wasmEngine: BatchEngine = (_batch, memory) => {
  compiled ??= new WebAssembly.Module(keccakModule())
  const { exports } = new WebAssembly.Instance(compiled, { env: { memory } })
  return exports["hashAll"]!
}

/** By the addon, so many messages at once; undefined where it cannot. */
export const nativeEngine = (lanes: 4 | 8): BatchEngine | undefined => {
  const addon = native
  if (addon === undefined || addon.lanes < lanes) return undefined
  return (batch) => (jobs, jobsEnd) => addon.hashMany(batch.bytes, jobs, jobsEnd, lanes)
}

const fastest = nativeEngine(8) ?? nativeEngine(4) ?? wasmEngine

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
  readonly #hashAll: HashAll
  #table: Int32Array

  /** A batch of at most `maxJobs` jobs at a time. */
  constructor(maxJobs: number, engine: BatchEngine = fastest) {
    this.#hashAll = engine(this, this.#memory)
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
