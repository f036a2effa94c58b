/**
 * Every script of a hostile peer against a whole annals, with one honest peer beside it: whatever it
 * does, the whole chain is stored and sound, the session ends within its deadline where it is to end,
 * the counter rises that tells of it, and nothing of it is kept.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { toHex } from "../../src/domain/hex.ts"
import type { Counters } from "../../src/observe/counters.ts"
import { breachConsequence } from "../../src/peers/breachConsequence.ts"
import { type Annals, BLOCKS, honestPeer, servedChain, withAnnals, within } from "./annals.ts"
import { type Expected, HostilePeer, type HostileScript } from "./HostilePeer.ts"
import { hostileScripts } from "./scripts.ts"
import { contentScripts } from "./scripts/content.ts"

/** Whether the counter has risen that a script must raise. */
const isNoticed = (
  expected: Expected,
  { network, failures }: Counters,
  inbound: boolean,
): boolean => {
  if ("harmless" in expected) return true
  if ("served" in expected) return network.served.requests >= expected.served
  return countOf(expected, { network, failures }, inbound) > 0
}

const countOf = (
  expected: Exclude<Expected, { readonly harmless: true } | { readonly served: number }>,
  { network, failures }: Pick<Counters, "network" | "failures">,
  inbound: boolean,
): number => {
  if ("refused" in expected) {
    return (inbound ? network.inboundRefused : network.refused).get(expected.refused) ?? 0
  }
  if ("breach" in expected) return network.breaches.get(expected.breach) ?? 0
  if ("failure" in expected) return failures.get(expected.failure) ?? 0
  return network.closed.get(expected.closed) ?? 0
}

const told = ({ stats }: Annals): string =>
  JSON.stringify({
    refused: [...stats.network.refused, ...stats.network.inboundRefused],
    breaches: [...stats.network.breaches],
    closed: [...stats.network.closed],
    failures: [...stats.failures],
  })

/** Whether annals let the peer go, or kept it where it was to: beside it there is the honest one. */
const isSettled = (peer: HostilePeer, { stats, sessions }: Annals): boolean => {
  const { expected } = peer.script
  if ("harmless" in expected) return sessions() === 2
  if ("refused" in expected) return sessions() === 1 && peer.open === 0
  // Who only keeps us waiting is let go when that has happened often enough, and not before.
  const mayStay = "served" in expected || ("failure" in expected && expected.failure === "timeout")
  return mayStay || stats.network.sessionsClosed > 0
}

const bansOf = ({ stats }: Annals, { key }: HostilePeer): number =>
  stats.peers.get(toHex(key.nodeId))?.bans ?? 0

const hostile = (script: HostileScript) =>
  Effect.acquireRelease(
    Effect.sync(() => new HostilePeer(script, servedChain)),
    (peer) => Effect.promise(() => peer.close()),
  )

const tryOut = (script: HostileScript, inbound: boolean) =>
  Effect.gen(function* () {
    const { expected } = script
    const peer = yield* hostile(script)
    const honest = yield* honestPeer
    const enodes = inbound ? [honest] : [honest, yield* Effect.promise(() => peer.listen())]
    yield* withAnnals(enodes, (annals) =>
      Effect.gen(function* () {
        const noticed = () => isNoticed(expected, annals.stats, inbound)
        if (inbound) yield* Effect.promise(() => peer.dial(annals.port, annals.nodeId))
        assert.isTrue(
          yield* within(
            10,
            Effect.map(annals.pooled, (count) => count >= 1),
          ),
        )
        // Some are found out before there is work, others by their answers to it.
        const early = Effect.map(annals.pooled, (count) =>
          "harmless" in expected ? count >= 2 : count >= 2 || noticed(),
        )
        yield* within(5, early)
        const { missing, stored, damages } = yield* annals.ingest
        assert.deepEqual({ missing, stored, damages }, { missing: 0, stored: BLOCKS, damages: 0 })
        assert.isTrue(yield* within(20, Effect.sync(noticed)), told(annals))
        const settled = Effect.sync(() => isSettled(peer, annals))
        assert.isTrue(yield* within(20, settled), `${peer.open} open; ${told(annals)}`)
        if ("breach" in expected && breachConsequence(expected.breach) === "ban") {
          const banned = Effect.sync(() => bansOf(annals, peer) > 0)
          assert.isTrue(yield* within(5, banned), "it was not banned")
        }
        for (const outcome of yield* annals.outcomes) assert.notMatch(outcome, /[\p{Cc}\p{Cf}]/u)
        const quiet = Effect.sync(() => annals.held().answers === 0 && annals.held().frames === 0)
        assert.isTrue(yield* within(10, quiet), JSON.stringify(annals.held()))
      }),
    )
  })

/** Of what answers say it makes no difference who dialled. */
const ofRole = {
  listens: hostileScripts,
  dials: hostileScripts.filter((script) => !contentScripts.includes(script)),
}

for (const role of ["listens", "dials"] as const) {
  describe.concurrent(`a hostile peer that ${role}, beside an honest one`, () => {
    for (const script of ofRole[role]) {
      it.scopedLive(`${script.name}: ${JSON.stringify(script.expected)}`, () =>
        Effect.scoped(tryOut(script, role === "dials")),
      )
    }
  })
}
