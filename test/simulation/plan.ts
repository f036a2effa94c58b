/**
 * What one seed stands for: a chain, the peers that serve it or lie about it, the program's settings,
 * and what befalls the program on the way.
 *
 * In: a seed. Out: a {@link Plan}, plain data. Pure: the same seed always gives the same plan.
 *
 * Invariants:
 * - a block of the range that is not in {@link Plan.unheld} is held, with all its parts, by peers that
 *   are honest, quick enough and never away for as long as the program waits ("pillars");
 * - where some peer sends headers that only a trusted hash can refute, the highest block of the
 *   range is trusted, and pillars hold all that is below it; or more peers are honest than not, or who
 *   is not contradicts itself; or else what the trusted hash does not reach is {@link Plan.undecidedTo}.
 */
import { type FaultKind, faultKinds } from "../../src/devnet/faults.ts"
import type { OptionalTable } from "../../src/write/tables.ts"
import type { EthVersion } from "../../src/wire/hello.ts"
import { TRUE_CHAINS, trueChain } from "./chains.ts"
import { Dice } from "./dice.ts"

/** What a peer does on the wire beside what it says. */
export const wireFaults = [
  /** Another request's id in the answer. */
  "wrong-id",
  /** Each answer twice. */
  "twice",
  /** Answers that nobody asked for. */
  "unasked",
  /** One item more than asked for. */
  "more",
  /** An answer of another kind under the request's id. */
  "wrong-kind",
  /** Bytes in the stream that are no frame. */
  "bad-frame",
  /** Bodies and receipts after the deadline. */
  "late",
  /** A range whose end is below its beginning. */
  "bad-range",
] as const
/** One of {@link wireFaults}. */
export type WireFault = (typeof wireFaults)[number]

/** The chain that a peer serves. */
export type ServedKind = "true" | "other" | { readonly forkedFrom: number }

/** How a peer asks us for headers, bodies and receipts. */
export interface Asking {
  /** Questions in one go, */
  readonly atOnce: number
  /** and again after so many milliseconds, */
  readonly everyMs: number
  /** so often in a session. */
  readonly rounds: number
  /** When each has to be answered, in milliseconds; undefined for whenever it may be. */
  readonly withinMs: number | undefined
}

/** As a node asks who syncs from us. */
export const POLITE: Asking = { atOnce: 20, everyMs: 400, rounds: 3, withinMs: 5_000 }

/** A peer of the world. Times are milliseconds, blocks inclusive. */
export interface PeerPlan {
  readonly name: string
  readonly index: number
  readonly ethVersion: EthVersion
  /** Over eth/70, past how many bytes an answer's receipts are cut; undefined where a node would. */
  readonly cutBytes: number | undefined
  readonly serves: ServedKind
  /** Of one direction. */
  readonly latencyMs: number
  /** What an answer takes beside that: between the two. */
  readonly thinkMs: readonly [number, number]
  /** The highest block that it has. */
  readonly head: number
  /** The lowest block of which it has bodies and receipts. */
  readonly floor: number
  readonly bodies: boolean
  readonly receipts: boolean
  readonly fault: FaultKind | undefined
  readonly wireFault: WireFault | undefined
  readonly openingFault: OpeningFault | undefined
  /** How often a fault shows, of 1. */
  readonly faultChance: number
  /** How long its sessions last; undefined for as long as we want. */
  readonly sessionMs: readonly [number, number] | undefined
  /** How often a dial fails, of 1. */
  readonly refuseChance: number
  /** How much later than asked for bodies and receipts come of who is late. */
  readonly lateMs: readonly [number, number]
  /** What it asks us for; undefined for nothing. */
  readonly asks: Asking | undefined
  /** Whether it does nothing that deserves a ban. */
  readonly blameless: boolean
}

/** What befalls a run of the program. */
export type Mishap =
  /** All that is in memory is gone. */
  | { readonly kind: "kill"; readonly afterMs: number }
  /** The same, around a statement that changes the database. */
  | { readonly kind: "kill-at-write"; readonly nth: number; readonly written: boolean }
  /** A statement that changes the database fails; `how` it left the transaction. */
  | {
      readonly kind: "disk-error"
      readonly nth: number
      readonly code: "SQLITE_FULL" | "SQLITE_IOERR_WRITE"
      readonly how: "untouched" | "rolled_back" | "done"
    }
  /** SIGINT. */
  | { readonly kind: "signal"; readonly afterMs: number }

/** The program's settings, where they differ from seed to seed. */
export interface PlanSettings {
  readonly blocksPerAssignment: number
  readonly receiptsPerRequest: number
  readonly requestTimeoutMs: number
  readonly giveUpMs: number
  readonly coolDownMs: number
  readonly maxCoolDownMs: number
  readonly banMs: number
  readonly redialMs: number
  readonly maxRedialMs: number
  readonly bytesInFlight: number
  readonly larderBytes: number
  readonly receiptsAnswerBytes: number
  readonly answerTargetBytes: number
  readonly maxPeers: number
  readonly slotsPerPeer: number
}

/** See the module. */
export interface Plan {
  readonly seed: number
  /** The number of the true chain, see `chains.ts`. */
  readonly chain: number
  readonly startBlock: number
  readonly endBlock: number
  /** Block numbers whose true hash is trusted. */
  readonly trusted: ReadonlyArray<number>
  /** Blocks of the range that no honest peer holds. */
  readonly unheld: readonly [from: number, to: number] | undefined
  /**
   * The highest block of which nobody can know who is right about it, peers being of two minds; it may
   * be missing in the end, and so may those below it. Undefined where there are none.
   */
  readonly undecidedTo: number | undefined
  /**
   * In which time of the world a run has to end that is about nothing but who is right; undefined where
   * only the limit of all worlds holds.
   */
  readonly settledWithinMs: number | undefined
  /** Whether no peer ever opens a session. */
  readonly deserted: boolean
  readonly peers: ReadonlyArray<PeerPlan>
  readonly settings: PlanSettings
  readonly tables: ReadonlyArray<OptionalTable>
  readonly commitBlocks: number
  readonly commitAfterMs: number
  /** One for each run of the program but the last. */
  readonly mishaps: ReadonlyArray<Mishap>
  /** Whether sessions go through the real handshake, with its cryptography and all phases. */
  readonly handshakes: boolean
  /** Whether some bodies and receipts are larger than what frames may have at any time. */
  readonly hasLargeBlocks: boolean
  /** Whether all of the store is recomputed in the end. */
  readonly verified: boolean
}

/** The plan of a seed, before it is made a world about one thing; see `worlds.ts`. */
export const plainPlanOf = (seed: number): Plan => {
  const dice = new Dice(seed).split("plan")
  const chain = dice.between(0, TRUE_CHAINS - 1)
  const endBlock = trueChain(chain).lastBlock
  const startBlock = dice.chance(0.7) ? 0 : dice.between(0, endBlock - 8)
  const deserted = dice.chance(0.02)
  const gap = dice.chance(0.12) ? gapIn(dice, startBlock, endBlock) : undefined
  const unheld = deserted ? ([startBlock, endBlock] as const) : gap
  const present = peersOf(dice, { startBlock, endBlock, unheld: gap })
  const peers = deserted ? present.map((peer) => unreachable(dice, peer)) : present
  const forged = peers.some(sendsForgedHeaders)
  const trusts = forged ? !dice.chance(0.1) : dice.chance(0.4)
  return {
    seed,
    chain,
    startBlock,
    endBlock,
    trusted: trusts ? [endBlock] : [],
    unheld,
    settledWithinMs: undefined,
    undecidedTo: !forged ? undefined : trusts ? gap && gap[0] - 1 : endBlock,
    deserted,
    peers,
    settings: settingsOf(dice, peers.length),
    tables: dice.chance(0.5) ? ["transactions", "logs", "withdrawals", "uncles"] : [],
    commitBlocks: dice.pick([1, 3, 10, 100]),
    commitAfterMs: dice.pick([20, 200, 1_000]),
    mishaps: mishapsOf(dice),
    handshakes: dice.chance(0.05),
    hasLargeBlocks: false,
    verified: dice.chance(0.1),
  }
}

/** Headers that pass all checks but are not the chain's, or may be by chance. */
export const sendsForgedHeaders = ({ serves, fault }: PeerPlan): boolean =>
  serves !== "true" || fault === "lie-header" || fault === "lie"

const openingFaults = ["refuses", "wrong-network", "never-answers"] as const
/** What a peer does while a session is being opened. */
export type OpeningFault = (typeof openingFaults)[number]

const unreachable = (dice: Dice, peer: PeerPlan): PeerPlan => ({
  ...peer,
  openingFault: dice.pick(openingFaults),
})

const gapIn = (dice: Dice, startBlock: number, endBlock: number): readonly [number, number] => {
  // Not at the top, where the trusted hash is.
  const from = dice.between(startBlock + 1, endBlock - 3)
  return [from, dice.between(from, Math.min(from + 6, endBlock - 2))]
}

interface RangePlan {
  readonly startBlock: number
  readonly endBlock: number
  readonly unheld: readonly [from: number, to: number] | undefined
}

/** A peer without any fault, with the true chain up to `head`. */
export const honest = (dice: Dice, index: number, name: string, head: number): PeerPlan => {
  const slowness = dice.pick([1, 5, 20, 60])
  return {
    name,
    index,
    ethVersion: dice.pick([68, 69, 69, 70, 70] as const),
    cutBytes: dice.pick([undefined, 1_200, 2_500]),
    serves: "true",
    latencyMs: dice.between(1, slowness),
    thinkMs: [1, dice.pick([2, 10, 100])],
    head,
    floor: 0,
    bodies: true,
    receipts: true,
    fault: undefined,
    wireFault: undefined,
    openingFault: undefined,
    faultChance: 1,
    sessionMs: undefined,
    refuseChance: 0,
    lateMs: [500, 9_000],
    asks: dice.chance(0.1) ? POLITE : undefined,
    blameless: true,
  }
}

const peersOf = (dice: Dice, range: RangePlan): ReadonlyArray<PeerPlan> => {
  const pillars = pillarsOf(dice, range)
  const count = dice.pick([0, 1, 1, 2, 2, 3, 4, 6])
  const others: Array<PeerPlan> = []
  const { endBlock } = range
  const fork = { forkedFrom: dice.between(Math.min(range.startBlock + 1, endBlock), endBlock) }
  const colluding = dice.chance(0.12)
  for (let at = 0; at < count; at++) {
    const index = pillars.length + at
    const other = colluding
      ? { ...honest(dice, index, `colluder-${index}`, endBlock), serves: fork, blameless: false }
      : otherOf(dice, index, range)
    others.push({ ...other, head: Math.min(other.head, endBlock) })
  }
  // Who comes first is dialled first.
  const all = [...pillars, ...others]
  for (let at = all.length - 1; at > 0; at--) {
    const with_ = dice.between(0, at)
    const [a, b] = [all[at]!, all[with_]!]
    all[at] = b
    all[with_] = a
  }
  const { unheld } = range
  return unheld === undefined ? all : all.map((peer) => lacking(peer, unheld))
}

/**
 * Nobody honest has the blocks of the gap: who serves what is below it has its head there, who serves
 * what is above has pruned the rest.
 */
export const lacking = (peer: PeerPlan, [from, to]: readonly [number, number]): PeerPlan =>
  peer.floor > to || peer.head < from
    ? peer
    : peer.index % 2 === 0
      ? { ...peer, head: from - 1, floor: Math.min(peer.floor, from - 1) }
      : { ...peer, floor: to + 1 }

/** The honest peers that hold, together, all that anybody holds. */
const pillarsOf = (dice: Dice, { endBlock, startBlock, unheld }: RangePlan): Array<PeerPlan> => {
  if (unheld !== undefined) {
    // The even one becomes who has what is below the gap, the odd one who has what is above.
    return [honest(dice, 0, "low", endBlock), honest(dice, 1, "high", endBlock)]
  }
  const lived = (peer: PeerPlan): PeerPlan =>
    dice.chance(0.2) ? { ...peer, sessionMs: [2_000, 6_000], name: `${peer.name}-flapping` } : peer
  const answering = (peer: PeerPlan): PeerPlan =>
    dice.chance(0.15) ? { ...peer, fault: "short", name: `${peer.name}-short` } : peer
  const shaped = (peer: PeerPlan): PeerPlan => lived(answering(peer))
  const shape = dice.between(0, 9)
  if (shape < 6) return [shaped(honest(dice, 0, "pillar", endBlock))]
  if (shape < 8) {
    const middle = dice.between(startBlock, endBlock - 1)
    return [
      shaped({ ...honest(dice, 0, "low", middle) }),
      shaped({ ...honest(dice, 1, "high", endBlock), floor: dice.between(0, middle + 1) }),
    ]
  }
  return [
    shaped({ ...honest(dice, 0, "bodies", endBlock), receipts: false }),
    shaped({ ...honest(dice, 1, "receipts", endBlock), bodies: false }),
  ]
}

/** Faults that break no rule: who has them may not be banned. */
const BLAMELESS_FAULTS: ReadonlySet<FaultKind> = new Set([
  "short",
  "skip",
  "bodies-only",
  "boast",
  "slow",
  "leave",
])

const otherOf = (dice: Dice, index: number, { endBlock, startBlock }: RangePlan): PeerPlan => {
  const base = honest(dice, index, `honest-${index}`, endBlock)
  const faultChance = dice.pick([1, 1, 0.3, 0.05])
  const kind = dice.between(0, 19)
  if (kind < 2) return base
  if (kind < 11) {
    const fault = dice.pick(faultKinds)
    const blameless = BLAMELESS_FAULTS.has(fault)
    return { ...base, name: `${fault}-${index}`, fault, faultChance, blameless }
  }
  if (kind < 14) {
    const wireFault = dice.chance(0.2) ? "late" : dice.pick(wireFaults)
    return { ...base, name: `${wireFault}-${index}`, wireFault, faultChance, blameless: false }
  }
  if (kind < 15) {
    const openingFault = dice.pick(openingFaults)
    return { ...base, name: `${openingFault}-${index}`, openingFault }
  }
  if (kind < 17) {
    const sessionMs = dice.pick([
      [5, 200],
      [100, 1_500],
      [1_000, 4_000],
    ] as const)
    const refuseChance = dice.pick([0, 0.3, 0.8])
    return { ...base, name: `flapping-${index}`, sessionMs, refuseChance }
  }
  if (kind < 18) {
    const thinkMs = [1_500, dice.pick([2_500, 8_000])] as const
    return { ...base, name: `slow-${index}`, thinkMs, blameless: false }
  }
  if (kind < 19) {
    const head = dice.between(startBlock, endBlock)
    return { ...base, name: `pruned-${index}`, head, floor: dice.between(0, head) }
  }
  return { ...base, name: `other-${index}`, serves: "other", blameless: false }
}

/** More bytes than are ever under way in these worlds. */
export const AMPLE_BYTES = 1_000_000

const settingsOf = (dice: Dice, peerCount: number): PlanSettings => {
  const tight = dice.chance(0.25)
  return {
    blocksPerAssignment: dice.pick([1, 3, 8, 32]),
    receiptsPerRequest: dice.pick([1, 4, 16, 128]),
    requestTimeoutMs: dice.pick([600, 1_000, 4_000]),
    giveUpMs: dice.pick([8_000, 12_000]),
    coolDownMs: dice.pick([50, 200, 500]),
    maxCoolDownMs: dice.pick([500, 2_000]),
    banMs: dice.pick([1_000, 5_000, 120_000]),
    redialMs: dice.pick([50, 300]),
    maxRedialMs: dice.pick([500, 1_000]),
    bytesInFlight: tight ? dice.pick([4_000, 20_000]) : AMPLE_BYTES,
    larderBytes: tight ? dice.pick([2_000, 6_000, 12_000, 30_000, 100_000]) : 1_000_000,
    receiptsAnswerBytes: tight ? 4_000 : 100_000,
    answerTargetBytes: tight ? 3_000 : 60_000,
    maxPeers: peerCount,
    slotsPerPeer: dice.pick([1, 2, 2, 3]),
  }
}

const mishapsOf = (dice: Dice): ReadonlyArray<Mishap> => {
  const count = dice.pick([0, 0, 0, 1, 1, 2])
  return Array.from({ length: count }, (): Mishap => {
    const afterMs = dice.between(1, dice.pick([300, 3_000, 8_000]))
    const nth = dice.between(1, dice.pick([10, 60, 200]))
    switch (dice.between(0, 5)) {
      case 0:
      case 1:
        return { kind: "kill", afterMs }
      case 2:
        return { kind: "kill-at-write", nth, written: dice.chance(0.5) }
      case 3:
      case 4: {
        const code = dice.pick(["SQLITE_FULL", "SQLITE_IOERR_WRITE"] as const)
        const how = dice.pick(["untouched", "rolled_back", "done"] as const)
        return { kind: "disk-error", nth, code, how }
      }
      default:
        return { kind: "signal", afterMs }
    }
  })
}
