/**
 * Who may be asked, and when: the one owner of strikes, cool-downs and bans. Failures come in with
 * their consequence already decided (`fetch/verdict.ts`); what comes out is the peer's standing,
 * which the scheduler is told and the dialler asks before it dials. Bans outlive the run where there
 * is a cache of peers: they come from it at the start and go back to it when they are spoken.
 */
import { Clock, Context, Effect, Layer } from "effect"
import { Settings, type SettingsShape } from "../Settings.ts"
import type { CacheEntry } from "./cacheEntries.ts"
import { PeerCache } from "./PeerCache.ts"
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
  /** Starts with the bans of the peer cache that still run, and tells it of new ones. */
  static readonly layerCached: Layer.Layer<Reputation, never, Settings | PeerCache> = Layer.effect(
    Reputation,
    Effect.gen(function* () {
      const settings = yield* Settings
      const cache = yield* PeerCache
      const accounts = bansOf(cache.entries, yield* Clock.currentTimeMillis, settings)
      return makeReputation(settings, accounts, (peerId, bannedUntilMs) =>
        cache.note(peerId, { bannedUntilMs }),
      )
    }),
  )

  /** Accounts in memory, for as long as the run. */
  static readonly layer: Layer.Layer<Reputation, never, Settings> = Layer.provide(
    Reputation.layerCached,
    PeerCache.layerNone,
  )
}

/** The accounts to start with. No ban lasts longer than ours do, whatever the cache says. */
const bansOf = (
  entries: ReadonlyArray<CacheEntry>,
  nowMs: number,
  { banMs }: SettingsShape,
): Map<string, Standing> => {
  const accounts = new Map<string, Standing>()
  for (const { enode, bannedUntilMs } of entries) {
    if (bannedUntilMs <= nowMs) continue
    const usableFromMs = Math.min(bannedUntilMs, nowMs + banMs)
    accounts.set(enode.nodeId, { ...newcomer, usableFromMs, banned: true })
  }
  return accounts
}

/** Goes on with `accounts`, which are its own from now on; `onBan` is told of every ban spoken. */
const makeReputation = (
  settings: SettingsShape,
  accounts: Map<string, Standing>,
  onBan: (peerId: string, untilMs: number) => Effect.Effect<void>,
): ReputationShape => {
  let bans = 0

  const book = (peerId: string, standing: Standing, nowMs: number): void => {
    // Deleting first moves the account to the young end of the map's order.
    accounts.delete(peerId)
    accounts.set(peerId, standing)
    if (accounts.size > MAX_ACCOUNTS) forgetOne(accounts, nowMs)
  }

  return {
    failed: (peerId, consequence) =>
      Effect.flatMap(Clock.currentTimeMillis, (nowMs) => {
        const before = accounts.get(peerId) ?? newcomer
        const after = afterFailure(before, consequence, nowMs, settings)
        const alreadyBanned = before.banned && before.usableFromMs > nowMs
        if (after.banned && !alreadyBanned) bans += 1
        book(peerId, after, nowMs)
        const spoken = after.banned && after.usableFromMs > nowMs
        return spoken ? Effect.as(onBan(peerId, after.usableFromMs), after) : Effect.succeed(after)
      }),
    succeeded: (peerId) =>
      Effect.map(Clock.currentTimeMillis, (nowMs) => {
        const before = accounts.get(peerId)
        if (before !== undefined) book(peerId, afterSuccess(before, nowMs), nowMs)
      }),
    standing: (peerId) => Effect.sync(() => accounts.get(peerId) ?? newcomer),
    bansSpoken: Effect.sync(() => bans),
  }
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
