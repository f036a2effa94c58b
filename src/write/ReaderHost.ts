/**
 * The reader's side of its protocol, in a thread of its own.
 *
 * In: {@link ReaderRequest}s from a port. Out: {@link ReaderReply}s to it, one after the other. What
 * was cancelled before its turn came is left out: between two questions the port is read. A bug is
 * thrown, which ends the thread, and with it the reader.
 */
import type { MessagePort } from "node:worker_threads"
import { Cause, Effect, Exit, Scope } from "effect"
import { StoreError } from "./StoreError.ts"
import { openReaderSession, type ReaderSession } from "./ReaderSession.ts"
import {
  packItems,
  type PackedItems,
  type ReaderCallName,
  type ReaderCalls,
  type ReaderReply,
  type ReaderRequest,
} from "./readerProtocol.ts"

type Value = ReaderCalls[ReaderCallName]["reply"]
type Call = Exclude<ReaderRequest, { readonly call: "cancel" }>

/** Serves one store on `port` until it is closed. */
export const serveReader = (port: MessagePort): void => {
  const scope = Effect.runSync(Scope.make())
  const waiting = new Map<number, Call>()
  let session: Effect.Effect<ReaderSession, StoreError> = Effect.dieMessage("asked before open")
  let busy = false

  const answer = (request: Call): Effect.Effect<Value, StoreError> => {
    if (request.call === "open") {
      const opening = Effect.exit(Scope.extend(openReaderSession(request.argument), scope))
      return Effect.flatMap(opening, (exit) => {
        session = exit
        return Effect.as(exit, null)
      })
    }
    if (request.call === "close") return Effect.as(Scope.close(scope, Exit.void), null)
    return Effect.flatMap(session, (opened) => ask(opened, request))
  }

  const next = (): void => {
    const [entry] = waiting
    if (busy || entry === undefined) return
    const [id, request] = entry
    waiting.delete(id)
    busy = true
    void Effect.runPromiseExit(answer(request)).then((exit) => {
      busy = false
      reply(port, id, exit)
      if (request.call === "close") port.close()
      // Cancellations that have come meanwhile are read first.
      else setImmediate(next)
    })
  }

  port.on("message", (request: ReaderRequest) => {
    if (request.call === "cancel") return void waiting.delete(request.id)
    waiting.set(request.id, request)
    next()
  })
}

const ask = (
  session: ReaderSession,
  request: Exclude<Call, { readonly call: "open" | "close" }>,
): Effect.Effect<Value, StoreError> => {
  switch (request.call) {
    case "headers": {
      const { query, limits } = request.argument
      return Effect.map(session.headers(query, limits), packItems)
    }
    case "bodies": {
      const { hashes, limits } = request.argument
      return Effect.map(session.bodies(hashes, limits), packItems)
    }
    case "receipts": {
      const { query, limits } = request.argument
      return Effect.map(session.receipts(query, limits), packItems)
    }
    case "held":
      return session.held
  }
}

const reply = (port: MessagePort, id: number, exit: Exit.Exit<Value, StoreError>): void => {
  if (Exit.isSuccess(exit)) {
    const { value } = exit
    const message: ReaderReply = { id, kind: "done", value }
    return port.postMessage(message, isPacked(value) ? [value.bytes.buffer] : [])
  }
  const error = Cause.squash(exit.cause)
  if (!(error instanceof StoreError)) throw error
  const message: ReaderReply = { id, kind: "failed", reason: error.message }
  port.postMessage(message)
}

const isPacked = (value: Value): value is PackedItems =>
  typeof value === "object" && value !== null && "ends" in value
