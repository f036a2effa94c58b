/**
 * The checking threads, as a service.
 *
 * In: packs of blocks (`blockPack.ts`). Out: the same packs, with the outcome of each block. Two
 * Layers give it: {@link CheckPool.layerThreads} checks in threads of its own, to which packs are
 * transferred; {@link CheckPool.layerInline} checks on the calling thread, for `--workers 0` and
 * for tests.
 *
 * Invariants:
 * - a pack that was given away is detached at the giver's; it comes back with the result;
 * - a thread has at most {@link PACKS_PER_THREAD} packs; more wait here, first come, first served;
 * - who is interrupted leaves nothing behind: what waits is taken out, what a thread is busy with
 *   is dropped when it comes back, and holds its place until then;
 * - a thread that ends by itself is fatal: every call, present and to come, dies of it;
 * - closing the Layer ends the threads.
 */
import { Context, Effect, Layer } from "effect"
import { endWithin } from "../threads/EndWithin.ts"
import { isProgram, startThread, type Thread } from "../threads/Thread.ts"
import { threadProgram } from "../threads/threadProgram.ts"
import type { BlockCheck } from "./checkBlock.ts"
import type { Check } from "./checks.ts"
import { CheckThreadLost } from "./CheckError.ts"
import type { CheckReply, CheckRequest } from "./checkMessages.ts"
import { checkPack } from "./checkPack.ts"

/** A pack that was checked. */
export interface CheckedPack {
  /** The pack; receipts of blocks that passed are in form 69. */
  readonly pack: ArrayBuffer
  /** The outcome of each block, in the pack's order. */
  readonly results: ReadonlyArray<BlockCheck>
  /** Processor time that the checks took, in milliseconds, as far as the system tells it. */
  readonly cpuMs: number
}

/** See the module. */
export interface CheckPoolShape {
  /** Checks the blocks of a pack. Never fails; dies when a thread is lost. */
  readonly check: (pack: ArrayBuffer, checks: ReadonlySet<Check>) => Effect.Effect<CheckedPack>
  /** Processor time of each thread since it began, in milliseconds, as of its last answer. */
  readonly threadsCpuMs: () => ReadonlyArray<number>
}

/** See {@link CheckPoolShape}. */
export class CheckPool extends Context.Tag("annals/CheckPool")<CheckPool, CheckPoolShape>() {
  /** Checks in `count` threads, at least one. Dies when their program is missing. */
  static readonly layerThreads = (count: number): Layer.Layer<CheckPool> =>
    CheckPool.layerWith({ count, program: threadProgram("process/checkWorker.js") })

  /** As {@link CheckPool.layerThreads}, with the threads' program given by its path. */
  static readonly layerWith = (options: {
    readonly count: number
    readonly program: string | undefined
  }): Layer.Layer<CheckPool> =>
    Layer.scoped(
      CheckPool,
      Effect.gen(function* () {
        const { count, program } = options
        if (!isProgram(program)) {
          const reason = `its program, ${program ?? "checkWorker.js"}, is missing: npm run build`
          return yield* Effect.die(new CheckThreadLost({ reason }))
        }
        const threads = yield* Effect.acquireRelease(
          Effect.sync(() => new CheckThreads(Math.max(count, 1), program)),
          (threads) => threads.end,
        )
        return {
          check: (pack, checks) => threads.check(pack, checks),
          threadsCpuMs: () => threads.cpuMs(),
        }
      }),
    )

  /** Checks on the calling thread, before the effect yields. */
  static readonly layerInline: Layer.Layer<CheckPool> = Layer.sync(CheckPool, () => ({
    check: (pack, checks) =>
      Effect.sync(() => {
        const before = process.cpuUsage()
        const results = checkPack(pack, checks)
        const { user, system } = process.cpuUsage(before)
        return { pack, results, cpuMs: (user + system) / 1000 }
      }),
    threadsCpuMs: () => [],
  }))
}

/** Packs that a thread has at once: the one it checks, and one that it need not wait for. */
const PACKS_PER_THREAD = 2
/** How long a thread may take to end; it is in the middle of a pack at most. */
const END_MS = 5_000

interface Job {
  readonly pack: ArrayBuffer
  readonly checks: ReadonlySet<Check>
  readonly resume: (outcome: Effect.Effect<CheckedPack>) => void
}

interface CheckThread {
  readonly thread: Thread<CheckRequest>
  /** Packs that it has; undefined for those that nobody wants any more. */
  readonly jobs: Map<number, Job | undefined>
  cpuMs: number
}

class CheckThreads {
  readonly #threads: ReadonlyArray<CheckThread>
  /** First come, first served; as long as there are callers. */
  readonly #waiting = new Set<Job>()
  #nextId = 1
  /** Why there are no threads any more. */
  #over: Effect.Effect<never> | undefined

  constructor(count: number, program: string) {
    this.#threads = Array.from({ length: count }, (_, index) => this.#start(program, index))
  }

  check(pack: ArrayBuffer, checks: ReadonlySet<Check>): Effect.Effect<CheckedPack> {
    return Effect.async((resume) => {
      if (this.#over !== undefined) return resume(this.#over)
      const job: Job = { pack, checks, resume }
      this.#waiting.add(job)
      this.#dispatch()
      return Effect.sync(() => this.#forget(job))
    })
  }

  cpuMs(): ReadonlyArray<number> {
    return this.#threads.map((thread) => thread.cpuMs)
  }

  readonly end: Effect.Effect<void> = Effect.suspend(() => {
    this.#endAll(Effect.interrupt)
    const ends = this.#threads.map(({ thread }) => thread.terminate)
    return endWithin(Effect.all(ends, { concurrency: "unbounded" }), END_MS)
  })

  #start(program: string, index: number): CheckThread {
    const started: CheckThread = {
      thread: startThread({
        program,
        name: `annals-check-${index}`,
        heard: (reply: CheckReply) => this.#take(started, reply),
        over: (why) => this.#endAll(Effect.die(new CheckThreadLost({ reason: `it ${why}` }))),
      }),
      jobs: new Map(),
      cpuMs: 0,
    }
    return started
  }

  #dispatch(): void {
    for (const job of this.#waiting) {
      const { thread, jobs } = this.#idlest()
      if (jobs.size >= PACKS_PER_THREAD) return
      this.#waiting.delete(job)
      const id = this.#nextId++
      jobs.set(id, job)
      thread.tell({ id, pack: job.pack, checks: job.checks }, [job.pack])
    }
  }

  #idlest(): CheckThread {
    return this.#threads.reduce((best, each) => (each.jobs.size < best.jobs.size ? each : best))
  }

  #take(thread: CheckThread, { id, pack, results, threadCpuMs }: CheckReply): void {
    const job = thread.jobs.get(id)
    thread.jobs.delete(id)
    const cpuMs = threadCpuMs - thread.cpuMs
    thread.cpuMs = threadCpuMs
    this.#dispatch()
    job?.resume(Effect.succeed({ pack, results, cpuMs }))
  }

  #forget(job: Job): void {
    if (this.#waiting.delete(job)) return
    for (const { jobs } of this.#threads) {
      for (const [id, each] of jobs) if (each === job) jobs.set(id, undefined)
    }
  }

  #endAll(over: Effect.Effect<never>): void {
    if (this.#over !== undefined) return
    this.#over = over
    const jobs = [...this.#threads.flatMap((thread) => [...thread.jobs.values()]), ...this.#waiting]
    for (const thread of this.#threads) thread.jobs.clear()
    this.#waiting.clear()
    for (const job of jobs) job?.resume(over)
  }
}
