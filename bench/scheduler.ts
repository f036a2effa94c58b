/**
 * What the scheduler's core costs, in CPU-microseconds a block and kilobytes of live heap, for
 * numbers of peers and shapes of work: a short range, a million blocks, and a million of which every
 * second one is done already (500,000 ranges). Run by `scheduler.mjs`; prints one JSON object.
 *
 * Each round takes the same number of blocks from assignment to done, through the events that the
 * driver sends, batches coming home in an order of their own.
 */
import { BlockRanges, type BlockRange } from "../src/domain/blockRanges.ts"
import { step } from "../src/scheduler/core.ts"
import {
  initialState,
  type SchedulerCommand,
  type SchedulerEvent,
  type SchedulerState,
} from "../src/scheduler/model.ts"

const BLOCKS_A_ROUND = 20_000
const ROUNDS = 5
const MILLION = 1_000_000
const BLOCKS_PER_ASSIGNMENT = 32
const SLOTS = 2

const everySecond = (): BlockRanges => {
  const ranges: Array<BlockRange> = []
  for (let block = 1; block < 2 * MILLION; block += 2) ranges.push([block, block])
  return BlockRanges.fromRanges(ranges)
}

const works: Readonly<Record<string, () => BlockRanges>> = {
  short: () => BlockRanges.of(0, BLOCKS_A_ROUND * (ROUNDS + 2)),
  million: () => BlockRanges.of(0, MILLION - 1),
  million_every_second_done: everySecond,
}

type Assigned = Extract<SchedulerCommand, { readonly _tag: "Assign" }>

/** A scheduler and the peers that do what it says. */
class Run {
  state: SchedulerState
  #nowMs = 0
  #random = 1
  readonly #open: Array<Assigned> = []

  constructor(work: BlockRanges, peers: number) {
    const options = { blocksPerAssignment: BLOCKS_PER_ASSIGNMENT, giveUpMs: 60_000, open: false }
    this.state = initialState(options, work)
    for (let peer = 0; peer < peers; peer++) {
      const range = { from: 0, to: 2 * MILLION }
      this.#send({ nowMs: 0, _tag: "PeerJoined", peerId: `peer-${peer}`, slots: SLOTS, range })
    }
  }

  #send(event: SchedulerEvent): void {
    const [state, commands] = step(this.state, event)
    this.state = state
    for (const command of commands) if (command._tag === "Assign") this.#open.push(command)
  }

  /** Lets batches come home until so many blocks are done. */
  work(blocks: number): void {
    let done = 0
    while (done < blocks) {
      this.#random = (this.#random * 1_103_515_245 + 12_345) % 2_147_483_648
      const [batch] = this.#open.splice(this.#random % this.#open.length, 1)
      if (batch === undefined) throw new Error("nothing is assigned")
      this.#nowMs += 1
      const { batchId, blocks: range } = batch
      const nowMs = this.#nowMs
      for (let block = range.from; block <= range.to; block++) {
        this.#send({ nowMs, _tag: "BlockDelivered", batchId, block })
      }
      this.#send({ nowMs, _tag: "BatchEnded", batchId })
      for (let block = range.from; block <= range.to; block++) {
        this.#send({ nowMs, _tag: "BlockDone", block })
        done += 1
      }
    }
  }
}

const collect = (): number => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

const measure = (name: string, peers: number) => {
  const before = collect()
  const run = new Run(works[name]!(), peers)
  const started = collect() - before
  run.work(BLOCKS_A_ROUND)
  const rounds: Array<number> = []
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.cpuUsage()
    run.work(BLOCKS_A_ROUND)
    const { user, system } = process.cpuUsage(start)
    rounds.push((user + system) / BLOCKS_A_ROUND)
  }
  const live = collect() - before
  const left = run.state.normal.count
  return {
    work: name,
    peers,
    cpu_us_per_block: Number(median(rounds).toFixed(2)),
    heap_kb_at_start: Math.round(started / 1024),
    heap_kb_at_end: Math.round(live / 1024),
    pending: left,
  }
}

const results = Object.keys(works).flatMap((name) =>
  [1, 10, 50, 200].map((peers) => measure(name, peers)),
)
console.log(JSON.stringify({ benchmark: "scheduler", rounds: ROUNDS, results }, undefined, 2))
