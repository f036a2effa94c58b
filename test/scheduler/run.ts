/**
 * The scheduler's core, stepped by hand.
 */
import { BlockRanges } from "../../src/domain/blockRanges.ts"
import { step } from "../../src/scheduler/core.ts"
import {
  initialState,
  type SchedulerCommand,
  type SchedulerOptions,
  type SchedulerState,
} from "../../src/scheduler/model.ts"
import type { TimelessEvent } from "./world.ts"

/** More than any work here. */
export const WIDE = { from: 0, to: 10_000_000 }

/** A state that is stepped by hand, at a time of one's choice. */
export class Run {
  state: SchedulerState
  nowMs = 0
  readonly told: Array<SchedulerCommand> = []

  constructor(work: BlockRanges, options: Partial<SchedulerOptions> = {}) {
    this.state = initialState(
      { blocksPerAssignment: 32, giveUpMs: 60_000, open: false, ...options },
      work,
    )
  }

  send(...events: ReadonlyArray<TimelessEvent>): ReadonlyArray<SchedulerCommand> {
    const told: Array<SchedulerCommand> = []
    for (const event of events) {
      const [state, commands] = step(this.state, { ...event, nowMs: this.nowMs })
      this.state = state
      told.push(...commands)
    }
    this.told.push(...told)
    return told
  }

  join(peerId: string, slots = 1, range = WIDE): ReadonlyArray<SchedulerCommand> {
    return this.send({ _tag: "PeerJoined", peerId, slots, range })
  }

  /** One block is fetched and done with. */
  finish(batchId: number, block: number): ReadonlyArray<SchedulerCommand> {
    return this.send({ _tag: "BlockDelivered", batchId, block }, { _tag: "BlockDone", block })
  }
}

/** Who is given what, in order. */
export const assignments = (commands: ReadonlyArray<SchedulerCommand>): Array<string> =>
  commands.flatMap((command) =>
    command._tag === "Assign"
      ? [`${command.peerId} ${command.blocks.from}-${command.blocks.to}`]
      : [],
  )
