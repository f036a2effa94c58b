/**
 * JSON-RPC over WebSockets, with subscriptions.
 *
 * In: connections that ask for an upgrade. Out: answers and notifications, each a text message.
 *
 * Invariants: a message above `requestBytes` ends the connection (1009) before it is read whole; what
 * is not whole yet is within the budget that all connections share, and a large one has to come
 * within the time of a request; a message comes in at most {@link mostFrames} frames, and pings and
 * pongs no faster than {@link controlFrames} (both 1008); at most {@link messagesAtOnce} messages of
 * a connection are worked on, and meanwhile nothing more is read from it; what waits to be sent is within the budget that all connections share; who does not
 * take it in time, or answers no ping, is disconnected; who leaves stops his
 * calls and subscriptions.
 */
import type { IncomingMessage } from "node:http"
import type { Duplex } from "node:stream"
import { Deferred, Duration, Effect, FiberSet } from "effect"
import { type WebSocket, WebSocketServer } from "ws"
import { fullBucket, takeToken } from "../../domain/tokenBucket.ts"
import { endWithin } from "../../threads/EndWithin.ts"
import { makeSubscriber, type Notify, type Subscriber } from "../live/Subscriptions.ts"
import type { RpcLimits } from "../rpcLimits.ts"
import type { ByteBudget } from "./byteBudget.ts"
import { IncomingBytes } from "./incomingBytes.ts"
import { notificationText } from "./envelope.ts"
import { RpcCalls } from "./RpcCalls.ts"
import {
  controlFrames,
  type Deadlines,
  messagesAtOnce,
  mostChunks,
  mostFrames,
  notifyAboveBytes,
} from "./serveSettings.ts"

/** See the module. */
export interface WebSockets {
  /** Takes a connection over that asks for an upgrade. */
  readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void
  /** How many are open. */
  readonly open: () => number
}

/** RFC 6455, 7.4.1; 1013 by IANA's registry. */
const GOING_AWAY = 1001
const POLICY_VIOLATION = 1008
const TRY_AGAIN_LATER = 1013

/** How long a client may take to answer a goodbye. */
const GOODBYE_MS = 1_000
/** Between two looks at what a slow client has taken. */
const SLOW_MS = 25

/** WebSockets that are ended with the scope. */
export const makeWebSockets = Effect.fnUntraced(function* (
  limits: RpcLimits,
  budget: ByteBudget,
  deadlines: Deadlines,
) {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: limits.requestBytes,
    maxFragments: mostFrames(limits),
    maxBufferedChunks: mostChunks(limits),
    closeTimeout: GOODBYE_MS,
  })
  const run = yield* FiberSet.makeRuntime<Effect.Effect.Context<ReturnType<typeof connection>>>()
  let open = 0
  return {
    upgrade: (request, socket, head) => {
      server.handleUpgrade(request, socket, head, (client) => {
        open += 1
        boundIncoming(client, socket, budget, deadlines)
        const ended = Effect.sync(() => {
          open -= 1
        })
        run(Effect.ensuring(connection(client, socket, limits, budget, deadlines), ended))
      })
    },
    open: () => open,
  } satisfies WebSockets
})

/** A part of a message above this has a deadline: so much may be one chunk of a socket. */
const LARGE_PART_BYTES = 64 * 1024

/** Counts what comes before it is read, and ends a connection for whose messages there is no room. */
const boundIncoming = (
  client: WebSocket,
  socket: Duplex,
  budget: ByteBudget,
  { requestMs }: Deadlines,
): void => {
  const incoming = new IncomingBytes(budget)
  let late: NodeJS.Timeout | undefined
  const look = (again: boolean): void => {
    if (again || incoming.held <= LARGE_PART_BYTES) {
      clearTimeout(late)
      late = undefined
    }
    if (incoming.held <= LARGE_PART_BYTES) return
    // Who is not read from has all the time that we take.
    late ??= setTimeout(() => (client.isPaused ? look(true) : client.terminate()), requestMs)
  }
  // Before the messages in the chunk are read.
  socket.prependListener("data", (chunk: Buffer) => {
    if (!incoming.came(chunk.length)) return refuse(client, TOO_MUCH)
    look(false)
  })
  client.on("message", (data) => {
    incoming.message(data.length)
    look(true)
  })
  let controls = fullBucket(controlFrames, performance.now())
  for (const control of ["ping", "pong"] as const) {
    client.on(control, (data) => {
      incoming.control(data.length)
      const { bucket, taken } = takeToken(controlFrames, controls, performance.now())
      controls = bucket
      if (!taken) refuse(client, TOO_OFTEN)
    })
  }
  client.once("close", () => {
    clearTimeout(late)
    incoming.ended()
  })
}

const TOO_MUCH = { code: TRY_AGAIN_LATER, reason: "too many requests at once" } as const
const TOO_OFTEN = { code: POLICY_VIOLATION, reason: "too many pings" } as const

/** Says so, reads no more, and ends the connection. */
const refuse = (
  client: WebSocket,
  { code, reason }: { readonly code: number; readonly reason: string },
): void => {
  // What is left of a chunk is read all the same.
  if (client.readyState !== client.OPEN) return
  client.close(code, reason)
  client.pause()
  setTimeout(() => client.terminate(), GOODBYE_MS)
}

/** Serves one connection to its end. */
const connection = (
  client: WebSocket,
  socket: Duplex,
  limits: RpcLimits,
  budget: ByteBudget,
  deadlines: Deadlines,
) =>
  Effect.gen(function* () {
    const left = yield* Deferred.make<void>()
    client.on("close", () => Deferred.unsafeDone(left, Effect.void))
    // A close follows, with its reason.
    client.on("error", () => undefined)
    yield* Effect.addFinalizer(() => goodbye(client, left))
    const outlet = new Outlet(client, budget, deadlines.takeMs)
    const subscriber = yield* makeSubscriber(limits, outlet.notify)
    yield* readMessages(client, subscriber, outlet)
    yield* Effect.raceAll([
      Deferred.await(left),
      pings(client, socket, deadlines.pingMs),
      Effect.catchTag(subscriber.run, "SubscriptionLost", ({ reason }) =>
        Effect.sync(() => client.close(TRY_AGAIN_LATER, reason)),
      ),
    ])
  }).pipe(Effect.scoped)

/** The server ends, or the client does not answer: nobody is waited for long. */
const goodbye = (client: WebSocket, left: Deferred.Deferred<void>): Effect.Effect<void> =>
  Effect.sync(() => client.close(GOING_AWAY)).pipe(
    Effect.zipRight(endWithin(Deferred.await(left), GOODBYE_MS)),
    Effect.zipRight(Effect.sync(() => client.terminate())),
  )

/**
 * Ends when nothing came since the last ping: whatever comes is a sign of life. Who is not read from,
 * since he has asked much, cannot give one.
 */
const pings = (client: WebSocket, socket: Duplex, everyMs: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    let heard = true
    const hears = (): void => {
      heard = true
    }
    socket.on("data", hears)
    const ping = Effect.sync(() => {
      if (!heard && !client.isPaused) return false
      // What he sends while he is not read from is heard only later.
      heard = client.isPaused
      client.ping()
      return true
    })
    return Effect.repeat(Effect.delay(ping, Duration.millis(everyMs)), {
      while: (alive) => alive,
    })
  }).pipe(
    Effect.asVoid,
    Effect.tap(() => Effect.sync(() => client.terminate())),
  )

/** Answers what comes, in no order, and reads no more than that. */
const readMessages = Effect.fnUntraced(function* (
  client: WebSocket,
  subscriber: Subscriber,
  outlet: Outlet,
) {
  const calls = yield* RpcCalls
  const run = yield* FiberSet.makeRuntime()
  // What a chunk of the socket held beyond the messages at work; then the socket rests.
  const waiting: Array<{ readonly text: string; readonly release: () => void }> = []
  let atWork = 0
  const next = (): void => {
    while (atWork < messagesAtOnce) {
      const message = waiting.shift()
      if (message === undefined) {
        // Who was refused is read no more, though calls of his end.
        if (client.readyState === client.OPEN) client.resume()
        return
      }
      atWork += 1
      const answer = Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(restore(calls.answer(message.text, subscriber)), ({ text, sent, release }) =>
          restore(text === undefined ? Effect.void : Effect.map(outlet.answer(text), sent)).pipe(
            Effect.ensuring(Effect.sync(release)),
          ),
        ),
      )
      const over = Effect.sync(() => {
        message.release()
        atWork -= 1
        next()
      })
      run(Effect.ensuring(answer, over))
    }
    client.pause()
  }
  client.on("message", (data) => {
    const release = outlet.budget.take(data.length)
    if (release === undefined) return refuse(client, TOO_MUCH)
    waiting.push({ text: data.toString("utf8"), release })
    next()
  })
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => waiting.splice(0).forEach(({ release }) => release())),
  )
})

/** What goes to one client. */
class Outlet {
  readonly #client: WebSocket
  readonly budget: ByteBudget
  readonly #takeMs: number

  constructor(client: WebSocket, budget: ByteBudget, takeMs: number) {
    this.#client = client
    this.budget = budget
    this.#takeMs = takeMs
  }

  /** Sends an answer, and waits until the system has taken it. */
  answer(text: string): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      this.#client.send(text, () => resume(Effect.void))
    }).pipe(this.#within)
  }

  /** Sends a notification; waits only while the client is behind. */
  readonly notify: Notify = (subscription, result) =>
    Effect.suspend(() => {
      const text = notificationText(subscription, result)
      const slow = (): boolean => this.#client.bufferedAmount > notifyAboveBytes
      const release = slow() ? undefined : this.budget.take(text.length)
      if (release !== undefined) {
        this.#client.send(text, release)
        return Effect.void
      }
      return this.#whileSlow(slow).pipe(Effect.zipRight(this.notify(subscription, result)))
    })

  /** A pause, and more of them until the client has taken what waits for him. */
  #whileSlow(slow: () => boolean): Effect.Effect<void> {
    return Effect.repeat(Effect.sleep(Duration.millis(SLOW_MS)), { while: slow }).pipe(
      Effect.asVoid,
      this.#within,
    )
  }

  /** Who takes nothing for too long is disconnected; what is under way ends with the connection. */
  readonly #within = (wait: Effect.Effect<void>): Effect.Effect<void> =>
    Effect.timeoutTo(wait, {
      duration: Duration.millis(this.#takeMs),
      onSuccess: () => undefined,
      onTimeout: () => this.#client.terminate(),
    })
}
