/**
 * The building of the index, in a thread of its own.
 *
 * In: {@link IndexerRequest}s from a port. Out: {@link IndexerReply}s to it. A bug is thrown, which
 * ends the thread.
 */
import os from "node:os"
import type { MessagePort } from "node:worker_threads"
import { Cause, Effect, Exit, Fiber } from "effect"
import { DamageFlag, keepIndexed } from "./ChainIndexing.ts"
import type { IndexerReply, IndexerRequest } from "./chainIndexProtocol.ts"

/** Of `nice`: whoever fetches or answers has the processor first. */
const NICENESS = 10

/** Builds the index of one store until it is told to end. */
export const serveIndexer = (port: MessagePort): void => {
  const flag = new DamageFlag()
  let building: Fiber.RuntimeFiber<never> | undefined

  const start = (directory: string): void => {
    yieldToOthers()
    building = Effect.runFork(
      keepIndexed(directory, flag, (reason) =>
        Effect.sync(() => {
          const reply: IndexerReply = { kind: "warned", reason }
          port.postMessage(reply)
        }),
      ),
    )
    building.addObserver((exit) => {
      if (Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause)) {
        throw Cause.squash(exit.cause)
      }
    })
  }

  port.on("message", (request: IndexerRequest) => {
    switch (request.call) {
      case "open":
        return start(request.directory)
      case "damaged":
        return flag.raise(request.reason)
      case "close": {
        const ended = building === undefined ? Effect.void : Fiber.interrupt(building)
        void Effect.runPromise(Effect.asVoid(ended)).then(() => port.close())
      }
    }
  })
}

/** On Linux this is the priority of the calling thread alone; where it is not granted, so be it. */
const yieldToOthers = (): void => {
  if (process.platform !== "linux") return
  try {
    os.setPriority(NICENESS)
  } catch {
    // It builds as fast as everything else, then.
  }
}
