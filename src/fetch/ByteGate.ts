/**
 * The budget of bytes between the request and the last stage. Answers are reserved before they are
 * asked for; a slow stage holds its blocks' bytes, and so the fetchers wait, and so the sockets
 * fall silent.
 *
 * First in, first out: a large reservation is never starved by small ones. A reservation above the
 * whole budget is granted alone. What an answer weighs is known only when it is there, so the
 * budget may be overdrawn by the answers under way; nothing new is granted until that is made good,
 * and when as much again is overdrawn, sockets are paused before their next large frame.
 */
import { Context, Deferred, Effect, FiberId, Layer } from "effect"
import { FIRST_SLOTS, Settings } from "../Settings.ts"
import { MOST_UNFINISHED_BYTES } from "../wire/limits.ts"
import { UnfinishedFrames } from "../wire/unfinishedFrames.ts"

/** See the module. All amounts are bytes. */
export interface ByteGateShape {
  /** Waits until `bytes` are free and takes them. Interruptible while it waits. */
  readonly reserve: (bytes: number) => Effect.Effect<void>
  /** Takes what came beyond a reservation, without waiting. */
  readonly overdraw: (bytes: number) => void
  /**
   * Asked before a large frame is read: undefined when it may be, otherwise a promise of the time
   * when it may. Never waits behind reservations, which may themselves wait for this frame.
   */
  readonly admitFrame: () => Promise<void> | undefined
  /** Where sessions book what has come of frames under way: bytes of no answer yet. */
  readonly unfinishedFrames: UnfinishedFrames
  /** Gives bytes back. */
  readonly release: (bytes: number) => void
  /** Whether somebody waits for bytes: what takes long then is our own doing. */
  readonly isWaitedFor: () => boolean
  /** What is free now; below 0 when overdrawn. */
  readonly free: () => number
}

/** Headers of a batch may weigh this many times what they are taken to weigh before they come. */
export const HEADERS_OVERDRAW = 2

/** See {@link ByteGateShape}. */
export class ByteGate extends Context.Tag("annals/ByteGate")<ByteGate, ByteGateShape>() {
  /** A gate over the budget of the settings. */
  static readonly layer: Layer.Layer<ByteGate, never, Settings> = Layer.effect(
    ByteGate,
    Effect.map(Settings, (settings) => {
      // A batch holds its headers while it waits for room for its receipts. Room for the headers
      // of all slots on top keeps them from waiting for each other for ever.
      const { maxPeers, maxInbound, slotsPerPeer, blocksPerAssignment, headerBytes } = settings
      const { bytesInFlight, receiptsAnswerBytes } = settings
      const slotBytes = blocksPerAssignment * headerBytes * HEADERS_OVERDRAW
      const most = (maxPeers + maxInbound) * slotsPerPeer * slotBytes
      const usual = (maxPeers + maxInbound) * Math.min(slotsPerPeer, FIRST_SLOTS) * slotBytes
      // More slots than at first are the exception: their headers may take of the budget, as long as
      // the largest turn, of two answers, always fits beside them.
      const spare = Math.max(0, bytesInFlight - 2 * receiptsAnswerBytes)
      return makeByteGate(bytesInFlight, Math.max(usual, most - spare))
    }),
  )
}

interface Waiter {
  readonly bytes: number
  readonly granted: Deferred.Deferred<void>
}

/**
 * A gate over `budgetBytes`, with `headersBytes` on top for what is held while it waits. Whatever
 * fits the budget, or is all of it, is granted although all of these are held.
 */
export const makeByteGate = (budgetBytes: number, headersBytes = 0): ByteGateShape => {
  const allBytes = budgetBytes + headersBytes
  let free = allBytes
  // Bounded by the number of slots of all peers: each waits for one reservation at a time.
  const waiters = new Set<Waiter>()

  const grants = (bytes: number): boolean => free >= Math.min(bytes, budgetBytes)

  const serveWaiters = (): void => {
    for (const waiter of waiters) {
      if (!grants(waiter.bytes)) return
      free -= waiter.bytes
      waiters.delete(waiter)
      Deferred.unsafeDone(waiter.granted, Effect.void)
    }
  }

  // Sessions that are paused, at most one entry each.
  const paused = new Set<() => void>()
  const mayRead = (): boolean => free > -allBytes

  const release = (bytes: number): void => {
    free += bytes
    serveWaiters()
    if (paused.size === 0 || !mayRead()) return
    const resumed = [...paused]
    paused.clear()
    for (const resume of resumed) resume()
  }

  const wait = (bytes: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const waiter: Waiter = { bytes, granted: Deferred.unsafeMake(FiberId.none) }
      waiters.add(waiter)
      return Deferred.await(waiter.granted).pipe(
        Effect.onInterrupt(() =>
          Effect.sync(() => {
            // Granted and interrupted at once: the bytes go back.
            if (!waiters.delete(waiter)) release(bytes)
            else serveWaiters()
          }),
        ),
      )
    })

  return {
    reserve: (bytes) =>
      Effect.suspend(() => {
        if (waiters.size > 0 || !grants(bytes)) return wait(bytes)
        free -= bytes
        return Effect.void
      }),
    overdraw: (bytes) => {
      free -= bytes
    },
    admitFrame: () =>
      mayRead() ? undefined : new Promise((resolve) => paused.add(() => resolve())),
    unfinishedFrames: new UnfinishedFrames(MOST_UNFINISHED_BYTES),
    release,
    isWaitedFor: () => waiters.size > 0,
    free: () => free,
  }
}
