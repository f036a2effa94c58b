/**
 * Who may be asked, and when: the one owner of strikes, cool-downs and bans. Failures come in with
 * their consequence already decided (`fetch/verdict.ts`); what comes out is the peer's standing,
 * which the scheduler is told and the dialler asks before it dials.
 */
import { Clock, Context, Effect, Layer } from "effect"
import { Settings } from "../Settings.ts"
import {
  type PeerConsequence,
  type Standing,
  afterFailure,
  afterSuccess,
  newcomer,
} from "./standing.ts"

/**
 * Accounts kept. A peer is some 200 bytes; beyond this the oldest account without a running ban
 * goes first.
 */
const MAX_ACCOUNTS = 10_000

/** The accounts of all peers. Every method is synchronous in effect and never fails. */
export interface ReputationShape {
  /** Books a failure and gives the standing after it. */
  readonly failed: (peerId: string, consequence: PeerConsequence) => Effect.Effect<Standing>
  /** Books a served block. */
  readonly succeeded: (peerId: string) => Effect.Effect<void>
  /** The standing now; a newcomer's for a peer that is not known. */
  readonly standing: (peerId: string) => Effect.Effect<Standing>
  /** How many bans were spoken since the start. */
  readonly bansSpoken: Effect.Effect<number>
}

/** See {@link ReputationShape}. */
export class Reputation extends Context.Tag("annals/Reputation")<Reputation, ReputationShape>() {
  /** Accounts in memory, for as long as the run. */
  static readonly layer: Layer.Layer<Reputation, never, Settings> = Layer.effect(
    Reputation,
    Effect.map(Settings, (settings) => {
      const accounts = new Map<string, Standing>()
      let bans = 0

      const book = (peerId: string, standing: Standing, nowMs: number): void => {
        // Deleting first moves the account to the young end of the map's order.
        accounts.delete(peerId)
        accounts.set(peerId, standing)
        if (accounts.size > MAX_ACCOUNTS) forgetOne(accounts, nowMs)
      }

      return {
        failed: (peerId, consequence) =>
          Effect.map(Clock.currentTimeMillis, (nowMs) => {
            const before = accounts.get(peerId) ?? newcomer
            const after = afterFailure(before, consequence, nowMs, settings)
            const alreadyBanned = before.banned && before.usableFromMs > nowMs
            if (after.banned && !alreadyBanned) bans += 1
            book(peerId, after, nowMs)
            return after
          }),
        succeeded: (peerId) =>
          Effect.map(Clock.currentTimeMillis, (nowMs) => {
            const before = accounts.get(peerId)
            if (before !== undefined) book(peerId, afterSuccess(before, nowMs), nowMs)
          }),
        standing: (peerId) => Effect.sync(() => accounts.get(peerId) ?? newcomer),
        bansSpoken: Effect.sync(() => bans),
      }
    }),
  )
}

const forgetOne = (accounts: Map<string, Standing>, nowMs: number): void => {
  for (const [peerId, standing] of accounts) {
    if (!standing.banned || standing.usableFromMs <= nowMs) {
      accounts.delete(peerId)
      return
    }
  }
  const oldest = accounts.keys().next()
  if (!oldest.done) accounts.delete(oldest.value)
}
