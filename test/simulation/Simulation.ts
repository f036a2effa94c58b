/**
 * One seed, from the first start of the program to the last look at its store.
 *
 *     run ─ mishap ─▶ run ─ mishap ─▶ … ─▶ run that nothing befalls ─▶ verdict
 *
 * In: a seed. Out: a {@link Verdict}: which invariants were broken, a digest of all that happened,
 * and how long it took in the world's time. The peers live through all runs; of the program only
 * what is on the disk does.
 *
 * Invariants that are checked, by their names in a verdict:
 * - no wrong row: a stored block is the chain's, unless it is not anchored and somebody forges headers;
 * - no lost block: what the store said to be committed is there after a kill;
 * - coverage is true, rows have a payload, verify is clean: what the store says of itself holds;
 * - finishes: all that pillars hold is stored in the end, whatever the others do;
 * - ends right: the exit code, and the blocks that are said to be missing, fit what peers hold;
 * - never hangs: every run ends, in bounded time of the world;
 * - settles in time: a run is not long about who is right, the less where more are honest than lie;
 * - nothing stays open: sessions, fibers, timers, bytes of the gate, connections of the database;
 * - memory is bounded: what the gate holds is within its budget and what may overdraw it;
 * - counts are true: what is said to be done was written, and once;
 * - the blameless are not banned;
 * - who asks is answered, and answers are true: what peers ask us for comes in time, and is the chain's;
 * - no defects: nothing dies, and a store fails only where the disk did.
 */
import { Cause, Effect, Exit, type Fiber } from "effect"
import { ExitCode } from "../../src/cli/exitCodes.ts"
import type { BlockRange } from "../../src/domain/blockRanges.ts"
import type { StoreError } from "../../src/write/StoreError.ts"
import { Befalling } from "./Befalling.ts"
import { closeConnections, copyStore, makeFolder, removeFolder, setHook } from "./disk.ts"
import { type Held, inspectStore, type Violation } from "./invariants.ts"
import { type Mishap, type Plan, sendsForgedHeaders } from "./plan.ts"
import {
  type CommitAccount,
  openOptions,
  type RunAccounts,
  type RunOutcome,
  runProgram,
} from "./Program.ts"
import type { ConnectorWorld, SessionAccount } from "./SimConnector.ts"
import { SimPeer } from "./SimPeer.ts"
import { templateStore } from "./TemplateStore.ts"
import { Trace } from "./trace.ts"
import { exitOf, type RunEnd, VirtualTime } from "./VirtualTime.ts"
import { planOf } from "./worlds.ts"
import { openSession } from "../../src/write/StoreSession.ts"

/** What came of a seed. */
export interface Verdict {
  readonly seed: number
  readonly violations: ReadonlyArray<Violation>
  /** The same for the same seed, always. */
  readonly digest: string
  /** Time of the world, in all runs. */
  readonly virtualMs: number
  readonly steps: number
  readonly runs: number
  readonly kills: number
  readonly diskErrors: number
  readonly blocks: number
  /** Kept only where it was asked for. */
  readonly trace: ReadonlyArray<string>
  readonly plan: Plan
}

const START_MS = 1_800_000_000_000
/** No run takes longer than that, in the world's time. */
const LIMIT_MS = 15 * 60_000
/** An orderly stop takes no longer. */
const STOP_LIMIT_MS = 30_000

/** Simulates one seed. */
export const simulate = async (seed: number, keepTrace = false): Promise<Verdict> => {
  const world = new World(planOf(seed), keepTrace)
  try {
    await world.live()
    return world.verdict()
  } finally {
    world.dispose()
  }
}

/** How a run came to its end. */
type RunResult =
  | { readonly kind: "ended"; readonly exit: Exit.Exit<RunOutcome, StoreError> }
  | { readonly kind: "killed" }
  | { readonly kind: "stuck"; readonly end: RunEnd }

class World {
  readonly #plan: Plan
  readonly #trace: Trace
  readonly #violations: Array<Violation> = []
  readonly #base = makeFolder()
  readonly #counts = { runs: 0, kills: 0, diskErrors: 0, steps: 0, blocks: 0 }
  #folder: string
  #nowMs = START_MS
  #time = new VirtualTime(START_MS)

  constructor(plan: Plan, keepTrace: boolean) {
    this.#plan = plan
    this.#trace = new Trace(keepTrace, () => this.#time.nowMs - START_MS, this.#base)
    this.#folder = `${this.#base}/0`
  }

  async live(): Promise<void> {
    copyStore(await templateStore(), this.#folder)
    for (const mishap of this.#plan.mishaps) {
      // A mishap that comes after the end of the run has befallen nobody; what follows is a run
      // over a store that is full, which is to end at once and well.
      if (!(await this.#run(mishap))) return
    }
    await this.#run(undefined)
  }

  verdict(): Verdict {
    const { steps, ...counts } = this.#counts
    return {
      seed: this.#plan.seed,
      violations: this.#violations,
      digest: this.#trace.digest,
      virtualMs: this.#time.nowMs - START_MS,
      steps: steps + this.#time.steps,
      ...counts,
      trace: this.#trace.lines,
      plan: this.#plan,
    }
  }

  dispose(): void {
    setHook(undefined)
    closeConnections()
    removeFolder(this.#base)
  }

  #say(invariant: string, detail: string): void {
    this.#violations.push({ invariant, detail })
    this.#trace.note("VIOLATION", `${invariant}: ${detail}`)
  }

  /** One run of the program and all that is to be said of it; whether another one may follow. */
  async #run(mishap: Mishap | undefined): Promise<boolean> {
    this.#counts.steps += this.#time.steps
    this.#time = new VirtualTime(this.#nowMs)
    this.#counts.runs += 1
    this.#trace.note(
      "world",
      `run ${this.#counts.runs}${mishap === undefined ? "" : `, ${textOf(mishap)}`}`,
    )
    const sessions: SessionAccount = { open: 0, interrupted: 0 }
    const accounts: RunAccounts = {
      gate: { budgetBytes: 0, heldBytes: 0, mostHeldBytes: 0 },
      commits: { committed: new Set(), before: 0, tookBack: false },
      larder: undefined,
      interrupt: undefined,
    }
    const surroundings = { time: this.#time, trace: this.#trace }
    const peers = this.#plan.peers.map((plan) => new SimPeer(plan, this.#plan, surroundings))
    const world: ConnectorWorld = {
      ...surroundings,
      handshakes: this.#plan.handshakes,
      peers: new Map(peers.map((peer) => [peer.enode.nodeId, peer])),
      account: sessions,
    }
    const befalling = new Befalling(mishap, this.#time, accounts, () => this.#copyAside())
    const program = runProgram(this.#plan, world, this.#folder, accounts)
    setHook(befalling)
    const fiber = this.#time.fork(program)
    const result = await this.#await(fiber, befalling)
    setHook(undefined)
    this.#nowMs = this.#time.nowMs + 1_000
    this.#trace.note("world", describe(result))
    for (const { complaints } of peers) {
      for (const [invariant, detail] of complaints) this.#say(invariant, detail)
    }
    if (result.kind === "killed") return this.#afterKill(accounts)
    this.#counts.diskErrors += befalling.struck ? 1 : 0
    const held = this.#afterEnd(result, befalling, accounts, sessions)
    if (result.kind === "stuck") return false
    if (mishap === undefined) await this.#judge(result.exit, held)
    this.#checkOutcome(result.exit, peers, accounts, sessions)
    return this.#violations.length === 0
  }

  async #await(
    fiber: Fiber.RuntimeFiber<RunOutcome, StoreError>,
    befalling: Befalling,
  ): Promise<RunResult> {
    const exit = exitOf(fiber)
    const over = (): boolean => exit() !== undefined
    const run = async (reached: () => boolean, limitMs: number): Promise<RunEnd> =>
      // Handshakes, and frames that are held back, go on by promises.
      this.#plan.handshakes || this.#plan.hasLargeBlocks
        ? this.#time.runWithPromises(reached, limitMs)
        : this.#time.run(reached, limitMs)
    let end = await run(() => over() || befalling.signalled, LIMIT_MS)
    if (befalling.signalled) end = await run(over, STOP_LIMIT_MS)
    if (befalling.killed) return { kind: "killed" }
    const ended = exit()
    if (ended === undefined) return { kind: "stuck", end }
    this.#checkSettled(this.#time.nowMs - this.#nowMs)
    // What is left of the other ends' goodbyes.
    await run(() => false, STOP_LIMIT_MS)
    return { kind: "ended", exit: ended }
  }

  #checkSettled(tookMs: number): void {
    const { settledWithinMs } = this.#plan
    if (settledWithinMs === undefined || tookMs <= settledWithinMs) return
    this.#say("settles in time", `after ${tookMs} ms, where ${settledWithinMs} are enough`)
  }

  /** Leaves the dead program's files to it and goes on with a copy. */
  #copyAside(): void {
    const next = `${this.#base}/${this.#counts.runs}`
    copyStore(this.#folder, next)
    this.#folder = next
  }

  #afterKill({ commits }: RunAccounts): boolean {
    this.#counts.kills += 1
    closeConnections()
    this.#checkLost(this.#inspect(), commits)
    return this.#violations.length === 0
  }

  #inspect(): Held {
    const held = inspectStore(this.#folder, this.#plan)
    this.#counts.blocks = held.blocks.size
    for (const { invariant, detail } of held.violations) this.#say(invariant, detail)
    return held
  }

  /** What holds of every run that was not killed. */
  #afterEnd(
    result: Exclude<RunResult, { readonly kind: "killed" }>,
    befalling: Befalling,
    { commits }: RunAccounts,
    sessions: SessionAccount,
  ): Held {
    if (result.kind === "stuck") {
      this.#say("never hangs", `the run did not end: ${result.end}`)
      this.#time.stop()
      closeConnections()
      return this.#inspect()
    }
    const open = closeConnections()
    const left = {
      sessions: sessions.open,
      fibers: this.#time.fibersLiving,
      timers: this.#time.timersWaiting,
      connections: open,
    }
    for (const [what, count] of Object.entries(left)) {
      if (count > 0) this.#say("nothing stays open", `${count} ${what}`)
    }
    if (Exit.isFailure(result.exit)) {
      this.#checkFailure(result.exit.cause, befalling)
    }
    const held = this.#inspect()
    this.#checkLost(held, commits, Exit.isSuccess(result.exit))
    return held
  }

  /**
   * `settled`: whether the program has heard all that its store had to say. Where it had not, and
   * somebody forges headers, blocks may have been taken out again of which it was not told yet.
   */
  #checkLost(held: Held, { committed }: CommitAccount, settled = false): void {
    if (!settled && this.#plan.peers.some(sendsForgedHeaders)) return
    const lost = [...committed].filter((block) => !held.blocks.has(block))
    if (lost.length > 0)
      this.#say("no lost block", `said to be committed and gone: ${lost.join(" ")}`)
  }

  #checkFailure(cause: Cause.Cause<StoreError>, befalling: Befalling): void {
    const failures = [...Cause.failures(cause)]
    const pure = Cause.isFailure(cause) && [...Cause.defects(cause)].length === 0
    if (!pure) this.#say("no defects", Cause.pretty(cause).slice(0, 1_500))
    else if (!befalling.struck) {
      this.#say(
        "no defects",
        `the store failed by itself: ${failures.map(({ message }) => message).join("; ")}`,
      )
    }
  }

  /** What holds of a run that ended with an exit code. */
  #checkOutcome(
    exit: Exit.Exit<RunOutcome, StoreError>,
    peers: ReadonlyArray<SimPeer>,
    { gate, commits, larder }: RunAccounts,
    sessions: SessionAccount,
  ): void {
    if (Exit.isFailure(exit)) return
    const { banned, code, succeeded } = exit.value
    const names = new Map(peers.map(({ enode, plan }) => [enode.nodeId, plan]))
    for (const nodeId of banned) {
      const plan = names.get(nodeId)
      if (plan?.blameless === true) this.#say("the blameless are not banned", plan.name)
    }
    const signalled = code === ExitCode.interrupted
    if (!signalled && sessions.interrupted === 0 && gate.heldBytes !== 0) {
      this.#say("nothing stays open", `${gate.heldBytes} bytes of the gate`)
    }
    const written = commits.committed.size - commits.before
    if (!commits.tookBack && succeeded !== written) {
      this.#say(
        "counts are true",
        `${succeeded} blocks are said to be done, ${written} were written`,
      )
    }
    if (code === ExitCode.complete && larder !== undefined && larder.bytes > 0) {
      this.#say("nothing stays open", `${larder.count} parts, ${larder.bytes} bytes in the larder`)
    }
    const answerBytes = Math.max(...peers.map(({ mostAnswerBytes }) => mostAnswerBytes))
    const slots = peers.length * this.#plan.settings.slotsPerPeer
    const mostBytes = 2 * gate.budgetBytes + 3 * slots * answerBytes
    if (gate.mostHeldBytes > mostBytes) {
      this.#say("memory is bounded", `${gate.mostHeldBytes} bytes held, of ${gate.budgetBytes}`)
    }
  }

  /** What holds in the end, after a run that nothing befell. */
  async #judge(exit: Exit.Exit<RunOutcome, StoreError>, held: Held): Promise<void> {
    if (Exit.isFailure(exit)) return
    const { startBlock, endBlock, unheld, undecidedTo, trusted } = this.#plan
    const { code, complete, failed } = exit.value
    if (this.#plan.deserted) {
      if (code !== ExitCode.noPeers) this.#say("ends right", `exit ${code} without any peer`)
      return
    }
    const missing: Array<number> = []
    for (let block = startBlock; block <= endBlock; block++) {
      if (!held.blocks.has(block)) missing.push(block)
    }
    const isUnheld = (block: number): boolean =>
      unheld !== undefined && block >= unheld[0] && block <= unheld[1]
    const isUndecided = (block: number): boolean =>
      undecidedTo !== undefined && block <= undecidedTo
    const unjust = missing.filter((block) => !isUnheld(block) && !isUndecided(block))
    if (unjust.length > 0) {
      this.#say(
        "finishes",
        `blocks that honest peers hold are missing: ${unjust.join(" ")}; exit ${code}`,
      )
    }
    const said = failed.flatMap(([from, to]: BlockRange) =>
      Array.from({ length: to - from + 1 }, (_, at) => from + at),
    )
    if (said.join(" ") !== missing.join(" ")) {
      this.#say("ends right", `missing are ${missing.join(" ")}, it says ${said.join(" ")}`)
    }
    const right: ReadonlyArray<ExitCode> =
      missing.length === 0 ? [ExitCode.complete] : [ExitCode.gaps, ExitCode.failedChecks]
    if (!right.includes(code) || complete !== (missing.length === 0)) {
      this.#say("ends right", `exit ${code} with ${missing.length} blocks missing`)
    }
    const blameless = this.#plan.peers.every((peer) => peer.blameless)
    if (blameless && code === ExitCode.failedChecks) {
      this.#say("ends right", "failed checks, of honest peers")
    }
    if (missing.length === 0 && trusted.includes(endBlock)) this.#checkAnchored(held)
    if (this.#plan.verified) await this.#verify()
  }

  #checkAnchored(held: Held): void {
    for (let block = this.#plan.startBlock; block <= this.#plan.endBlock; block++) {
      if (!held.right.has(block)) this.#say("no wrong row", `block ${block}, below a trusted hash`)
      else if (!held.anchored.has(block)) this.#say("ends right", `block ${block} is not anchored`)
    }
  }

  /** Recomputes everything from the store, by the program's own command. */
  async #verify(): Promise<void> {
    this.#counts.steps += this.#time.steps
    this.#time = new VirtualTime(this.#nowMs)
    const verifying = Effect.scoped(
      Effect.flatMap(openSession(openOptions(this.#plan, this.#folder)), (session) =>
        session.verify(() => undefined),
      ),
    )
    const exit = exitOf(this.#time.fork(verifying))
    await this.#time.runWithPromises(() => exit() !== undefined, LIMIT_MS)
    const ended = exit()
    if (ended === undefined || Exit.isFailure(ended)) {
      this.#say(
        "verify is clean",
        ended === undefined ? "it did not end" : Cause.pretty(ended.cause),
      )
    } else if (ended.value.damages.length > 0) {
      this.#say("verify is clean", JSON.stringify(ended.value.damages).slice(0, 500))
    }
    closeConnections()
  }
}

const textOf = (mishap: Mishap): string => Object.values(mishap).map(String).join(" ")

const describe = (result: RunResult): string => {
  if (result.kind === "killed") return "killed"
  if (result.kind === "stuck") return `stuck: ${result.end}`
  return Exit.isSuccess(result.exit)
    ? `exit ${result.exit.value.code}, failed ${JSON.stringify(result.exit.value.failed)}`
    : `failed: ${[...Cause.failures(result.exit.cause)].map(({ message }) => message).join("; ")}`
}
