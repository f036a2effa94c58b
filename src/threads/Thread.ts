/**
 * A worker thread as its client has it: started from a built program, told things, and ended in time.
 *
 * In: the program, which has to be there, and who hears of its messages and of its end. Out: the way
 * to tell it things, and to end it.
 *
 * Invariants: however the thread ends, and whether it was asked to or not, `over` hears of it once;
 * one whose message cannot be read is over, and is ended; nothing is started again. What a thread is
 * asked for at its end is waited for no longer than it may.
 */
import { existsSync } from "node:fs"
import { Worker, type ResourceLimits } from "node:worker_threads"
import { Effect } from "effect"
import { endWithin } from "./EndWithin.ts"

/** Whether there is a program to start: a worker whose file is missing fails only later, elsewhere. */
export const isProgram = (file: string | undefined): file is string =>
  file !== undefined && existsSync(file)

/** What a thread is made of. */
export interface ThreadOptions<Reply> {
  /** The file of its program: see {@link isProgram}. */
  readonly program: string
  /** As debuggers and profiles show it. */
  readonly name: string
  readonly resourceLimits?: ResourceLimits
  /** Hears each message. */
  readonly heard: (reply: Reply) => void
  /** Hears why there is no thread any more, in words that go behind "it". */
  readonly over: (why: string) => void
}

/** A thread that was started. */
export interface Thread<Request> {
  /** Sends a message; the buffers in `transfer` are detached here. */
  readonly tell: (request: Request, transfer?: ReadonlyArray<ArrayBuffer>) => void
  /** Ends the thread, as soon as it leaves native code. */
  readonly terminate: Effect.Effect<void>
  /** Waits for `asked`, at most `mostMs`, and terminates; for finalizers. */
  readonly endAfter: (asked: Effect.Effect<unknown, unknown>, mostMs: number) => Effect.Effect<void>
}

/** Starts a thread; `Reply` is what its program sends. */
export const startThread = <Request, Reply>(options: ThreadOptions<Reply>): Thread<Request> => {
  const { program, name, resourceLimits = {}, heard } = options
  const worker = new Worker(program, { name, resourceLimits })
  let isOver = false
  const over = (why: string): void => {
    if (isOver) return
    isOver = true
    options.over(why)
  }
  worker.on("message", heard)
  worker.on("messageerror", (error) => {
    over(`sent what cannot be read: ${String(error)}`)
    // Nobody hears it any more.
    void worker.terminate()
  })
  worker.on("error", (error) => over(`failed: ${String(error)}`))
  worker.on("exit", (code) => over(`ended with code ${code}`))
  const terminate = Effect.asVoid(Effect.promise(async () => worker.terminate()))
  return {
    tell: (request, transfer = []) => worker.postMessage(request, [...transfer]),
    terminate,
    endAfter: (asked, mostMs) => Effect.zipRight(endWithin(asked, mostMs), terminate),
  }
}
