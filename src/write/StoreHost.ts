/**
 * The store's side of its protocol, in a thread of its own.
 *
 * In: {@link StoreRequest}s from a port. Out: {@link StoreReply}s to it. Requests run side by side
 * and share the one connection; what is cancelled is interrupted and not answered. After `close`
 * the port is closed, and with nothing else to do the thread ends.
 */
import type { MessagePort } from "node:worker_threads"
import { Cause, Effect, Exit, Fiber, Scope } from "effect"
import { native } from "../domain/native.ts"
import { StoreError } from "./StoreError.ts"
import type { StoreCallName, StoreCalls, StoreReply, StoreRequest } from "./storeProtocol.ts"
import type { BlockPayload } from "./rows.ts"
import { openSession, type OnProgress, type StoreSession } from "./StoreSession.ts"

type Value = StoreCalls[StoreCallName]["reply"]
type Call = Exclude<StoreRequest, { readonly call: "cancel" }>

/** Serves one store on `port` until it is closed. */
export const serveStore = (port: MessagePort): void => {
  const scope = Effect.runSync(Scope.make())
  const running = new Map<number, Fiber.RuntimeFiber<void>>()
  let session: StoreSession | undefined

  /** Nobody may use the database once it is closed. */
  const close = Effect.suspend(() => Fiber.interruptAll([...running.values()])).pipe(
    Effect.zipRight(Scope.close(scope, Exit.void)),
  )

  const answer = (request: Call): Effect.Effect<Value, StoreError> => {
    if (request.call === "open") {
      return Effect.map(Scope.extend(openSession(request.argument), scope), (opened) => {
        session = opened
        return opened.opened
      })
    }
    if (request.call === "close") return Effect.as(close, null)
    if (session === undefined) return Effect.dieMessage(`${request.call} before open`)
    const tell: OnProgress = (progress) => reply({ id: request.id, kind: "progress", progress })
    return ask(session, request, tell)
  }

  const reply = (message: StoreReply): void => port.postMessage(message)

  port.on("message", (request: StoreRequest) => {
    const { id } = request
    if (request.call === "cancel") {
      const fiber = running.get(id)
      if (fiber !== undefined) Effect.runFork(Fiber.interrupt(fiber))
      return
    }
    const fiber = Effect.runFork(
      Effect.map(Effect.exit(answer(request)), (exit) => {
        running.delete(id)
        const message = replyOf(id, exit)
        if (message !== undefined) reply(message)
        // Whatever is kept of them, or told, is a copy.
        if (request.call === "write") free(request.argument)
        if (request.call === "close") port.close()
      }),
    )
    if (request.call !== "close") running.set(id, fiber)
  })
}

const ask = (
  session: StoreSession,
  request: Exclude<Call, { readonly call: "open" | "close" }>,
  tell: OnProgress,
): Effect.Effect<Value, StoreError> => {
  switch (request.call) {
    case "write":
      return session.write(request.argument)
    case "replace":
      return session.replace(request.argument)
    case "hashes":
      return session.hashes(request.argument)
    case "flush":
      return Effect.as(session.flush, null)
    case "status":
      return session.status
    case "verify":
      return session.verify(tell)
    case "buildTables":
      return session.buildTables(request.argument, tell)
    case "readPeers":
      return session.readPeers
    case "writePeers":
      return Effect.as(session.writePeers(request.argument), null)
  }
}

/** What came with a request is this thread's alone: when it is written, its memory need not wait for V8. */
const free = (blocks: ReadonlyArray<BlockPayload>): void => {
  for (const memory of new Set(blocks.map(({ header }) => header.buffer))) native?.detach(memory)
}

const replyOf = (id: number, exit: Exit.Exit<Value, StoreError>): StoreReply | undefined => {
  if (Exit.isSuccess(exit)) return { id, kind: "done", value: exit.value }
  if (Cause.isInterruptedOnly(exit.cause)) return undefined
  const error = Cause.squash(exit.cause)
  return error instanceof StoreError
    ? { id, kind: "failed", path: error.path, failure: error.failure }
    : { id, kind: "died", message: Cause.pretty(exit.cause) }
}
