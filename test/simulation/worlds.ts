/**
 * The worlds of the seeds: plans of `plan.ts`, some of them made to be about one thing: who is right
 * without a trusted hash, large frames, peers that are just too late, peers that flood us with questions.
 *
 * In: a seed. Out: its {@link Plan}. Pure: the same seed always gives the same plan, and a world that is
 * not about one thing is the plain plan of its seed.
 */
import { TRUE_CHAINS } from "./chains.ts"
import { Dice } from "./dice.ts"
import {
  AMPLE_BYTES,
  honest,
  lacking,
  type PeerPlan,
  type Plan,
  plainPlanOf,
  type ServedKind,
} from "./plan.ts"

/** The plan of a seed. */
export const planOf = (seed: number): Plan => {
  const plan = plainPlanOf(seed)
  const dice = new Dice(seed).split("dispute")
  const decided = !plan.deserted && dice.chance(DISPUTE_SHARE) ? disputedPlan(dice, plan) : plan
  const sizes = new Dice(seed).split("sizes")
  if (sizes.chance(LARGE_SHARE)) return enlargedPlan(sizes, decided)
  const lateness = new Dice(seed).split("lateness")
  const lateOrNot =
    decided === plan && !plan.deserted && lateness.chance(LATE_SHARE)
      ? latePlan(lateness, plan)
      : decided
  const curiosity = new Dice(seed).split("curiosity")
  return !plan.deserted && curiosity.chance(CURIOUS_SHARE)
    ? curiousPlan(curiosity, lateOrNot)
    : lateOrNot
}

/** How many of the worlds have peers that ask for far more than anybody needs. */
const CURIOUS_SHARE = 0.04

/** More than may wait for its turn, so that for a while nothing is read from who asks so much. */
const MANY_QUESTIONS = 300

/**
 * The same world with peers that flood us with questions: what they have themselves comes behind
 * them, late where they are too many. They are strangers, or those without whom nothing is whole.
 */
const curiousPlan = (dice: Dice, plan: Plan): Plan => {
  const { peers, endBlock, unheld, settings } = plan
  // At 200 a second each, and all of what others ask besides.
  const withinMs = 30_000
  if (dice.chance(0.5)) {
    const asks = { atOnce: MANY_QUESTIONS, everyMs: 1_000, rounds: 1, withinMs }
    // Not who comes and goes: it would flood us each time, and be late each time.
    const asking = (peer: PeerPlan): PeerPlan =>
      peer.fault === undefined && peer.sessionMs === undefined ? { ...peer, asks } : peer
    return { ...plan, peers: peers.map((peer) => asking(peer)) }
  }
  const curious = Array.from({ length: dice.between(1, 2) }, (_, at): PeerPlan => {
    const index = peers.length + at
    const peer = honest(dice, index, `curious-${index}`, endBlock)
    const atOnce = dice.pick([50, 200, 600])
    const everyMs = dice.pick([100, 1_000])
    const asks = { atOnce, everyMs, rounds: dice.between(1, 3), withinMs }
    return { ...peer, asks, blameless: false }
  })
  const all = [...curious, ...peers]
  return {
    ...plan,
    peers: unheld === undefined ? all : all.map((peer) => lacking(peer, unheld)),
    settings: { ...settings, maxPeers: settings.maxPeers + curious.length },
  }
}

/** How many of the worlds have peers that are just too late, so that two fetch the same blocks. */
const LATE_SHARE = 0.06

const slower = (peer: PeerPlan): PeerPlan => ({ ...peer, thinkMs: [100, 450] })

/** The same world with peers whose answers come when others have been asked for the same already. */
const latePlan = (dice: Dice, plan: Plan): Plan => {
  const { peers, endBlock, unheld, settings } = plan
  const late = Array.from({ length: dice.between(1, 3) }, (_, at): PeerPlan => {
    const index = peers.length + at
    const peer = honest(dice, index, `late-${index}`, endBlock)
    return { ...peer, wireFault: "late", lateMs: [550, 1_300], thinkMs: [1, 2], blameless: false }
  })
  const slowed = peers.map((peer) => slower(peer))
  return {
    ...plan,
    peers:
      unheld === undefined
        ? [...late, ...slowed]
        : [...late, ...slowed].map((peer) => lacking(peer, unheld)),
    settings: { ...settings, requestTimeoutMs: 600, maxPeers: settings.maxPeers + late.length },
  }
}

/** Their receipts are cut into no more parts than are taken of one block. */
const cutLater = (peer: PeerPlan): PeerPlan => ({
  ...peer,
  cutBytes: peer.cutBytes && 20_000,
})

/** How many of the worlds have blocks whose parts come in large frames. */
const LARGE_SHARE = 0.04
/** How many peers there are in them beside the others. */
const SWARM = 6

/** Honest peers that answer at the same time, so that more comes at once than was reserved. */
const swarmOf = (dice: Dice, { peers, endBlock }: Plan): ReadonlyArray<PeerPlan> =>
  Array.from({ length: SWARM }, (_, at) => {
    const index = peers.length + at
    const peer = honest(dice, index, `swarm-${index}`, endBlock)
    return { ...peer, latencyMs: 20, thinkMs: [1, 2] as const }
  })

/**
 * The same world with large blocks in its chain, of which few fit what may be under way at once: large
 * frames are held back until what was read of others is through.
 */
const enlargedPlan = (dice: Dice, plan: Plan): Plan => ({
  ...plan,
  chain: plan.chain + TRUE_CHAINS,
  hasLargeBlocks: true,
  // Their frames wait for room.
  settledWithinMs: undefined,
  peers: (plan.deserted || plan.unheld !== undefined
    ? plan.peers
    : [...plan.peers, ...swarmOf(dice, plan)]
  ).map((peer) => cutLater(peer)),
  settings: {
    ...plan.settings,
    bytesInFlight: dice.pick([100_000, 100_000, 200_000, 1_000_000]),
    // What is reserved before the first large answer is little, and much is asked for at once.
    receiptsAnswerBytes: dice.pick([4_000, 100_000]),
    answerTargetBytes: dice.pick([3_000, 60_000]),
    larderBytes: dice.pick([20_000, 200_000, 1_000_000]),
    blocksPerAssignment: dice.pick([1, 2, 3]),
    slotsPerPeer: dice.pick([2, 3]),
    maxPeers: plan.settings.maxPeers + SWARM,
  },
})

/** How many of the worlds are about nothing but who is right. */
const DISPUTE_SHARE = 0.12
/** In how many of them liars are always the first to be free for more. */
const SWIFT_SHARE = 0.3

/** What a run may take beside {@link PLAIN_MS} for each liar where more are honest than not. */
const DECIDED_MS = 15_000
const PLAIN_MS = 10_000
/** What it may take to find out that nobody can tell: a height is contested 32 times at most. */
const GIVEN_UP_MS = 400_000

/** Who is right is decided where more are honest than not, or where who is not contradicts itself. */
const disputes = ["majority", "majority", "majority", "selves", "tie", "tie"] as const

const QUICKEST: Partial<PeerPlan> = { latencyMs: 1, thinkMs: [1, 2] }
const QUITE_SLOW: Partial<PeerPlan> = { latencyMs: 60, thinkMs: [10, 100] }

/**
 * A world without a trusted hash, of honest peers that hold everything and of others that serve forks,
 * or alter headers one at a time: where it can be decided nothing may be missing in the end.
 */
const disputedPlan = (dice: Dice, plan: Plan): Plan => {
  const { startBlock, endBlock } = plan
  const dispute = dice.pick(disputes)
  // With many of them it matters of whom a contested block is asked, as each may contest it once.
  const liars = dice.pick(dispute === "majority" ? [1, 2, 3, 4, 5, 6, 8, 10] : [1, 2, 2, 3, 4])
  const others = { majority: liars + 1, selves: 1, tie: liars }[dispute]
  const forkOf = (): ServedKind => ({
    forkedFrom: dice.between(Math.min(startBlock + 1, endBlock), endBlock),
  })
  const shared = forkOf()
  const colluding = dice.chance(0.5)
  const swift = dice.chance(SWIFT_SHARE)
  const peers = Array.from({ length: liars + others }, (_, index) => {
    const lies = index < liars
    const plain = honest(dice, index, `${lies ? dispute : "honest"}-${index}`, endBlock)
    const peer: PeerPlan = swift ? { ...plain, ...(lies ? QUICKEST : QUITE_SLOW) } : plain
    if (!lies) return peer
    const liar = { ...peer, blameless: false }
    return dispute === "selves"
      ? { ...liar, fault: "lie-header" as const, faultChance: dice.pick([0.1, 0.3, 1]) }
      : { ...liar, serves: colluding ? shared : forkOf() }
  })
  const withinMs = {
    majority: PLAIN_MS + liars * DECIDED_MS,
    selves: undefined,
    tie: GIVEN_UP_MS,
  }
  return {
    ...plan,
    trusted: [],
    unheld: undefined,
    undecidedTo: dispute === "tie" ? endBlock : undefined,
    // Where there is little room all is slow.
    settledWithinMs: plan.settings.bytesInFlight < AMPLE_BYTES ? undefined : withinMs[dispute],
    peers: dice.chance(0.5) ? peers : peers.toReversed(),
    settings: {
      ...plan.settings,
      blocksPerAssignment: dice.pick([1, 2, 3, 8]),
      maxPeers: peers.length,
    },
  }
}
