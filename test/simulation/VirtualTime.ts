/**
 * A world with a time of its own: Effect's clock and Effect's scheduler in one, so that a program
 * runs as fast as it can be computed, and twice the same way.
 *
 * In: fibers (through {@link VirtualTime.fork}) and plain callbacks ({@link VirtualTime.after}).
 * Whatever is due now runs first come, first served; when nothing is due, the time jumps to the next
 * callback. Nothing here looks at the real clock.
 *
 * Invariants:
 * - the same calls in the same order give the same run: ties are broken by the order of the calls;
 * - after {@link VirtualTime.stop} nothing runs any more, as after a kill;
 * - promises are outside of this world: what waits for one is reached only by
 *   {@link VirtualTime.runWithPromises}.
 */
import { Clock, Duration, Effect, type Exit, Fiber, FiberRef, Option, Scheduler } from "effect"
import { Supervisor } from "effect"

/** Why a run came to its end. */
export type RunEnd =
  /** What was waited for came about. */
  | "reached"
  /** Nothing is left to do: whoever still waits would wait for ever. */
  | "quiet"
  /** The limit of time was reached. */
  | "late"
  /** So much happened that the time does not move on. */
  | "busy"
  /** It was stopped. */
  | "stopped"

/** A callback that waits for its time. */
interface Timer {
  readonly atMs: number
  readonly order: number
  run: (() => void) | undefined
}

/** Takes a timer back; true when it had not run. */
export type Cancel = () => boolean

/** Callbacks at one moment beyond which the time is said not to move. */
const MOST_AT_ONCE = 200_000

/** See the module. */
export class VirtualTime implements Scheduler.Scheduler {
  /** Milliseconds, whole. */
  nowMs: number
  /** Callbacks that were run. */
  steps = 0
  readonly clock: Clock.Clock
  #tasks = new Scheduler.PriorityBuckets()
  #timers: Array<Timer> = []
  #waiting = 0
  #order = 0
  #stopped = false
  readonly #living = new Living()

  constructor(startMs: number) {
    this.nowMs = startMs
    this.clock = this.#makeClock()
  }

  // ---------------------------------------------------------------------- Effect's scheduler

  shouldYield(fiber: Fiber.RuntimeFiber<unknown, unknown>): number | false {
    return fiber.currentOpCount > fiber.getFiberRef(FiberRef.currentMaxOpsBeforeYield)
      ? fiber.getFiberRef(FiberRef.currentSchedulingPriority)
      : false
  }

  scheduleTask(task: Scheduler.Task, priority: number): void {
    if (!this.#stopped) this.#tasks.scheduleTask(task, priority)
  }

  // ---------------------------------------------------------------------------------- timers

  /** Runs a callback after so many milliseconds; never when they are infinite. */
  after(delayMs: number, run: () => void): Cancel {
    if (this.#stopped || !Number.isFinite(delayMs)) return () => true
    const atMs = this.nowMs + Math.max(0, Math.ceil(delayMs))
    const timer: Timer = { atMs, order: this.#order++, run }
    push(this.#timers, timer)
    this.#waiting += 1
    return () => {
      if (timer.run === undefined) return false
      timer.run = undefined
      this.#waiting -= 1
      return true
    }
  }

  /** Callbacks that wait for their time. */
  get timersWaiting(): number {
    return this.#waiting
  }

  /** Fibers that some fiber of this world has forked and that have not ended. */
  get fibersLiving(): number {
    return this.#living.fibers.size
  }

  // ------------------------------------------------------------------------------------ runs

  /** Starts a fiber in this world; all that it forks lives here too. */
  fork<A, E>(effect: Effect.Effect<A, E>): Fiber.RuntimeFiber<A, E> {
    return Effect.runFork(
      effect.pipe(Effect.withClock(this.clock), Effect.supervised(this.#living)),
      { scheduler: this },
    )
  }

  /** Nothing runs any more, and what waits is forgotten. */
  stop(): void {
    this.#stopped = true
    this.#tasks = new Scheduler.PriorityBuckets()
    this.#timers = []
    this.#waiting = 0
  }

  /** Runs until `reached` holds, but no longer than `limitMs`. */
  run(reached: () => boolean, limitMs: number): RunEnd {
    const untilMs = this.nowMs + limitMs
    for (;;) {
      const end = this.#turn(reached)
      if (end !== undefined) return end
      const jumped = this.#jump(untilMs)
      if (jumped !== undefined) return jumped
    }
  }

  /** As {@link run}, and before each jump promises are given the time to settle. */
  async runWithPromises(reached: () => boolean, limitMs: number): Promise<RunEnd> {
    const untilMs = this.nowMs + limitMs
    for (;;) {
      const end = this.#turn(reached)
      if (end !== undefined) return end
      await new Promise((resolve) => setImmediate(resolve))
      if (this.#tasks.buckets.length > 0) continue
      if (reached()) return "reached"
      const jumped = this.#jump(untilMs)
      if (jumped !== undefined) return jumped
    }
  }

  /** Runs all that is due; why the run is over, if it is. */
  #turn(reached: () => boolean): RunEnd | undefined {
    let count = 0
    for (;;) {
      if (this.#stopped) return "stopped"
      const { buckets } = this.#tasks
      if (buckets.length === 0) return reached() ? "reached" : undefined
      this.#tasks.buckets = []
      for (const [, tasks] of buckets) {
        for (const task of tasks) {
          if (this.#stopped) return "stopped"
          task()
          this.steps += 1
          count += 1
        }
      }
      if (count > MOST_AT_ONCE) return "busy"
      if (reached()) return "reached"
    }
  }

  /** Moves the time on to the next callback and runs it. */
  #jump(untilMs: number): RunEnd | undefined {
    for (;;) {
      const timer = pop(this.#timers)
      if (timer === undefined) return "quiet"
      const { run } = timer
      if (run === undefined) continue
      if (timer.atMs > untilMs) {
        push(this.#timers, timer)
        this.nowMs = untilMs
        return "late"
      }
      this.nowMs = Math.max(this.nowMs, timer.atMs)
      timer.run = undefined
      this.#waiting -= 1
      this.steps += 1
      run()
      return undefined
    }
  }

  #makeClock(): Clock.Clock {
    const nanos = (): bigint => BigInt(this.nowMs) * 1_000_000n
    return {
      [Clock.ClockTypeId]: Clock.ClockTypeId,
      unsafeCurrentTimeMillis: () => this.nowMs,
      unsafeCurrentTimeNanos: nanos,
      currentTimeMillis: Effect.sync(() => this.nowMs),
      currentTimeNanos: Effect.sync(nanos),
      sleep: (duration) =>
        Effect.async<void>((resume) => {
          const cancel = this.after(Duration.toMillis(duration), () => resume(Effect.void))
          return Effect.sync(cancel)
        }),
    }
  }
}

/** Waits in the world for the end of a fiber; its exit once it is there. */
export const exitOf = <A, E>(
  fiber: Fiber.RuntimeFiber<A, E>,
): (() => Exit.Exit<A, E> | undefined) => {
  let exit: Exit.Exit<A, E> | undefined
  fiber.addObserver((ended) => {
    exit = ended
  })
  return () => exit
}

/** Knows the fibers that live. */
class Living extends Supervisor.AbstractSupervisor<number> {
  readonly fibers = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
  override readonly value = Effect.sync(() => this.fibers.size)

  override onStart<A, E>(
    _context: unknown,
    _effect: unknown,
    _parent: Option.Option<Fiber.RuntimeFiber<unknown, unknown>>,
    fiber: Fiber.RuntimeFiber<A, E>,
  ): void {
    this.fibers.add(fiber)
  }

  override onEnd<A, E>(_exit: Exit.Exit<A, E>, fiber: Fiber.RuntimeFiber<A, E>): void {
    this.fibers.delete(fiber)
  }
}

// ------------------------------------------------------------------------- a heap of timers

const before = (a: Timer, b: Timer): boolean =>
  a.atMs === b.atMs ? a.order < b.order : a.atMs < b.atMs

const push = (heap: Array<Timer>, timer: Timer): void => {
  let at = heap.length
  heap.push(timer)
  while (at > 0) {
    const parent = (at - 1) >> 1
    if (!before(timer, heap[parent]!)) break
    heap[at] = heap[parent]!
    at = parent
  }
  heap[at] = timer
}

const pop = (heap: Array<Timer>): Timer | undefined => {
  const first = heap[0]
  const last = heap.pop()
  if (first === undefined || last === undefined || heap.length === 0) return first
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1
    if (!before(heap[child]!, last)) break
    heap[at] = heap[child]!
    at = child
  }
  heap[at] = last
  return first
}
