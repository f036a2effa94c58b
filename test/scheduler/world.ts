/**
 * A world around the scheduler's core, for its property tests: moves are chosen from the current
 * state, and a plain model, made of sets of single blocks, follows from events and commands
 * alone what the core ought to know.
 *
 * The model is the oracle: it shares no code with the core.
 */
import { FastCheck as fc } from "effect"
import { BlockRanges } from "../../src/domain/blockRanges.ts"
import { step } from "../../src/scheduler/core.ts"
import {
  type Contestant,
  initialState,
  type SchedulerCommand,
  type SchedulerEvent,
  type SchedulerOptions,
  type SchedulerState,
} from "../../src/scheduler/model.ts"

type Contested = Extract<TimelessEvent, { readonly _tag: "BlockContested" }>
export type Assign = Extract<SchedulerCommand, { readonly _tag: "Assign" }>
type Timeless<Event> = Event extends unknown ? Omit<Event, "nowMs"> : never
export type TimelessEvent = Timeless<SchedulerEvent>

export interface ModelPeer {
  readonly tried: Set<number>
  readonly lacks: Set<number>
  connected: boolean
  slots: number
  from: number
  to: number
  usableFromMs: number
  banned: boolean
  openBatches: Set<number>
  turn: number
  secondFrom: number
}

export interface ModelBatch {
  readonly peerId: string
  readonly owned: Set<number>
  /** What was offered to others while it was under way here. */
  readonly shared: Set<number>
}

export interface Hooks {
  /** Called with the model as it is just before the assignment. */
  readonly onAssign?: (world: World, assign: Assign) => void
  readonly onStep?: (
    world: World,
    event: TimelessEvent,
    commands: ReadonlyArray<SchedulerCommand>,
    before: SchedulerState,
  ) => void
}

export interface Move {
  readonly kind: number
  readonly a: number
  readonly b: number
}

export interface Scenario {
  readonly blocks: number
  readonly limit: number
  readonly moves: ReadonlyArray<Move>
}

/** Any scenario: a small work list, a small batch limit, up to 60 moves. */
export const scenario: fc.Arbitrary<Scenario> = fc.record({
  blocks: fc.integer({ min: 1, max: 40 }),
  limit: fc.integer({ min: 1, max: 8 }),
  moves: fc.array(fc.record({ kind: fc.nat(99), a: fc.nat(997), b: fc.nat(991) }), {
    maxLength: 60,
    size: "max",
  }),
})

const nth = <Item>(items: Iterable<Item>, n: number): Item | undefined => {
  const all = [...items]
  return all[n % all.length]
}

/** The part of a mixed list of kinds that a move belongs to; the weights add up to 100. */
const KINDS = [
  ["deliver", 14],
  ["share", 2],
  ["slots", 1],
  ["done", 12],
  ["reject", 5],
  ["contest", 4],
  ["fail", 18],
  ["end", 10],
  ["join", 6],
  ["rejoin", 3],
  ["leave", 4],
  ["lacks", 3],
  ["pause", 4],
  ["range", 2],
  ["tick", 5],
  ["stray", 1],
  ["work", 1],
  ["unwork", 1],
  ["has", 1],
  ["wait", 2],
  ["stop", 1],
] as const

const kindOf = (n: number): (typeof KINDS)[number][0] => {
  let left = n
  for (const [kind, weight] of KINDS) {
    if (left < weight) return kind
    left -= weight
  }
  return "tick"
}

const serves = ({ from, to, lacks }: ModelPeer, block: number): boolean =>
  block >= from && block <= to && !lacks.has(block)

export class World {
  state: SchedulerState
  nowMs = 0
  readonly options: SchedulerOptions
  readonly hooks: Hooks
  /** The first peer to join: holds everything, and is never said to lack anything. */
  readonly honest = "honest"
  readonly mayStop: boolean

  readonly work = new Set<number>()
  readonly pending = new Set<number>()
  readonly assigned = new Map<number, number>()
  readonly delivered = new Map<number, string>()
  readonly done = new Set<number>()
  readonly attempts = new Map<number, number>()
  readonly exhausted = new Set<number>()
  /** Blocks of which some answer told that a peer tried or lacks them. */
  readonly marked = new Set<number>()
  /** How often each height was contested, and until when it rests. */
  readonly disputes = new Map<number, { readonly times: number; readonly untilMs: number }>()
  /** Whom each peer has contradicted. */
  readonly opponents = new Map<string, Set<string>>()
  readonly peers = new Map<string, ModelPeer>()
  readonly batches = new Map<number, ModelBatch>()
  hopelessSinceMs: number | undefined
  /** Set when nothing may be assigned any more. */
  draining = false
  finished: BlockRanges | undefined
  stopped = false
  #names = 0
  #turns = 0

  constructor(
    { blocks, limit }: Scenario,
    hooks: Hooks = {},
    { giveUpMs = 5_000, mayStop = false, open = false } = {},
  ) {
    this.options = { blocksPerAssignment: limit, giveUpMs, open }
    this.hooks = hooks
    this.mayStop = mayStop
    this.state = initialState(this.options, BlockRanges.of(100, 99 + blocks))
    for (let n = 100; n < 100 + blocks; n++) {
      this.work.add(n)
      this.pending.add(n)
    }
  }

  /** Plays all moves. */
  play(moves: ReadonlyArray<Move>): this {
    for (const move of moves) this.move(move)
    return this
  }

  move({ kind, a, b }: Move): void {
    this.nowMs += a % 7
    this.send(this.#eventOf(kindOf(kind), a, b) ?? this.#arrival(a, b))
  }

  /** The blocks that are neither done nor given up. */
  missing(): Array<number> {
    return [...this.work].filter((n) => !this.done.has(n)).sort((a, b) => a - b)
  }

  connected(): Array<[string, ModelPeer]> {
    return [...this.peers].filter(([, peer]) => peer.connected)
  }

  isBanned(peer: ModelPeer): boolean {
    return peer.banned && peer.usableFromMs > this.nowMs
  }

  isFree(peer: ModelPeer): boolean {
    return peer.connected && peer.usableFromMs <= this.nowMs && peer.openBatches.size < peer.slots
  }

  attemptsOf(block: number): number {
    return this.attempts.get(block) ?? 0
  }

  /** Whether the peer could serve the block, has not tried it and does not lack it. */
  isOpenTo(peer: ModelPeer, block: number): boolean {
    return (
      block >= peer.from && block <= peer.to && !peer.tried.has(block) && !peer.lacks.has(block)
    )
  }

  /**
   * Whether every other connected peer that is not banned has tried, lacks or cannot serve it, or has no
   * slot free for a second round.
   */
  allOthersHadIt(peerId: string, block: number): boolean {
    return this.connected().every(
      ([id, peer]) =>
        id === peerId ||
        this.isBanned(peer) ||
        !this.isOpenTo(peer, block) ||
        (this.exhausted.has(block) && peer.openBatches.size >= peer.slots),
    )
  }

  /** How many connected peers that are not banned contradict it; without an end where it contradicts itself. */
  opponentsOf(peerId: string): number {
    const opponents = this.opponents.get(peerId) ?? new Set()
    if (opponents.has(peerId)) return Infinity
    return [...opponents].filter((id) => {
      const peer = this.peers.get(id)
      return peer?.connected === true && !this.isBanned(peer)
    }).length
  }

  /** Whether the block rests, or is for a peer of which fewer contradict and that `could` have it. */
  isKeptFrom(peerId: string, block: number, could: (other: ModelPeer) => boolean): boolean {
    const dispute = this.disputes.get(block)
    if (dispute === undefined) return false
    if (dispute.untilMs > this.nowMs) return true
    return this.connected().some(
      ([id, other]) =>
        id !== peerId &&
        !this.isBanned(other) &&
        this.opponentsOf(id) < this.opponentsOf(peerId) &&
        could(other),
    )
  }

  /** What the design says a free slot of the peer is to be given, by walking all blocks. */
  expectedOffer(peerId: string): { from: number; to: number; escalated: boolean } | undefined {
    const peer = this.peers.get(peerId)
    if (peer === undefined) return undefined
    const rising = [...this.pending].sort((a, b) => a - b)
    const isEscalated = (n: number) => this.attemptsOf(n) >= 3
    const isPending = (n: number) => this.pending.has(n)
    const isOpen = (n: number) =>
      isPending(n) &&
      this.isOpenTo(peer, n) &&
      !this.isKeptFrom(peerId, n, (other) => this.isOpenTo(other, n))
    const fresh = (n: number) => isOpen(n) && !this.exhausted.has(n)
    const inRound = (n: number) => isOpen(n) && this.exhausted.has(n)
    const newRound = (n: number) =>
      isPending(n) &&
      serves(peer, n) &&
      peer.tried.has(n) &&
      !this.isKeptFrom(peerId, n, (other) => serves(other, n)) &&
      this.allOthersHadIt(peerId, n)
    const run = (from: number, fits: (n: number) => boolean) => {
      let to = from
      if (isEscalated(from)) return { from, to, escalated: true }
      while (
        to - from + 1 < this.options.blocksPerAssignment &&
        fits(to + 1) &&
        !isEscalated(to + 1)
      ) {
        to += 1
      }
      return { from, to, escalated: false }
    }
    const first = rising.find((n) => fresh(n) && isEscalated(n)) ?? rising.find(fresh)
    if (first !== undefined) return run(first, fresh)
    const inTurn = [
      ...rising.filter((n) => n >= peer.secondFrom),
      ...rising.filter((n) => n < peer.secondFrom),
    ]
    const next = inTurn.find((n) => inRound(n) || newRound(n))
    return next === undefined ? undefined : run(next, inRound(next) ? inRound : newRound)
  }

  isHopeful(): boolean {
    for (const n of this.assigned.keys()) if (!this.exhausted.has(n)) return true
    for (const n of this.delivered.keys()) if (!this.exhausted.has(n)) return true
    for (const n of this.pending) {
      if (this.exhausted.has(n)) continue
      if (this.isShared(n)) return true
      const served = this.connected().some(
        ([, peer]) => !this.isBanned(peer) && this.isOpenTo(peer, n),
      )
      if (served) return true
    }
    return false
  }

  send(event: TimelessEvent): ReadonlyArray<SchedulerCommand> {
    const before = this.state
    const [after, commands] = step(before, { ...event, nowMs: this.nowMs })
    this.state = after
    if (this.finished === undefined) {
      this.#learn(event)
      this.#judge()
    }
    for (const command of commands) this.#follow(command)
    this.hooks.onStep?.(this, event, commands, before)
    return commands
  }

  join(peerId: string, slots: number, from: number, to: number): void {
    this.send({ _tag: "PeerJoined", peerId, slots, range: { from, to } })
  }

  /** Lets the batches of one peer, or of all, end in success or in failure of every block;
   * what is assigned meanwhile is left for the next call. */
  settle(succeeds: (peerId: string) => boolean): void {
    const batches = [...this.batches]
    for (const [batchId, { peerId, owned }] of batches) {
      const blocks = [...owned]
      for (const block of blocks) {
        if (succeeds(peerId)) this.send({ _tag: "BlockDelivered", batchId, block })
        else {
          const failed = { attempt: true, tried: false, lacks: false }
          this.send({ _tag: "BlockFailed", batchId, block, ...failed })
        }
      }
      this.send({ _tag: "BatchEnded", batchId })
    }
    const delivered = [...this.delivered.keys()]
    for (const block of delivered) this.send({ _tag: "BlockDone", block })
  }

  #arrival(a: number, b: number): TimelessEvent {
    if (this.connected().length >= 6) return { _tag: "Tick" }
    const peerId = this.peers.size === 0 ? this.honest : `peer${this.#names++}`
    const narrow = peerId !== this.honest && b % 3 === 0
    const from = narrow ? 90 + (a % 30) : 0
    const range = { from, to: narrow ? from + (b % 40) : 1_000 }
    const slots = 1 + (a % 3)
    return { _tag: "PeerJoined", peerId, slots, range }
  }

  #eventOf(kind: ReturnType<typeof kindOf>, a: number, b: number): TimelessEvent | undefined {
    const batch = nth(
      [...this.batches].filter(([, { owned }]) => owned.size > 0 || kind === "end"),
      a,
    )
    const batchId = batch?.[0] ?? 0
    const block = nth(batch?.[1].owned ?? [], b)
    const out = nth(this.delivered, b)
    const peer = nth(this.connected(), a)
    const peerId = peer?.[0]
    switch (kind) {
      case "deliver": {
        const [sharing, { shared }] = nth(this.#sharing(), a) ?? [0, { shared: [] }]
        const first = b % 3 === 0 ? nth(shared, b) : undefined
        if (first !== undefined) return { _tag: "BlockDelivered", batchId: sharing, block: first }
        return block === undefined ? undefined : { _tag: "BlockDelivered", batchId, block }
      }
      case "share":
        return batch === undefined ? undefined : { _tag: "BatchOverdue", batchId }
      case "slots":
        return peerId === undefined ? undefined : { _tag: "PeerSlots", peerId, slots: 1 + (b % 4) }
      case "fail": {
        if (block === undefined) return undefined
        const lacks = b % 5 === 0 && batch?.[1].peerId !== this.honest
        const attempt = b % 4 !== 0
        return { _tag: "BlockFailed", batchId, block, attempt, tried: a % 3 === 0, lacks }
      }
      case "end":
        return batch === undefined ? undefined : { _tag: "BatchEnded", batchId }
      case "done":
        return out === undefined ? undefined : { _tag: "BlockDone", block: out[0] }
      case "reject":
        return out === undefined
          ? undefined
          : { _tag: "BlockRejected", block: out[0], peerId: out[1] }
      case "contest": {
        if (out === undefined) return undefined
        const others = a % 11 === 0 ? [] : [this.#contestant(out[0], a, b)]
        return { _tag: "BlockContested", block: out[0], peerId: out[1], others }
      }
      case "rejoin":
      case "leave":
      case "lacks":
      case "has":
      case "pause":
      case "range":
      case "wait":
        return peerId === undefined ? undefined : this.#peerEvent(kind, peerId, a, b)
      case "stray":
        return b % 2 === 0
          ? { _tag: "BlockDelivered", batchId: 1 + (a % 20), block: 100 + (b % 40) }
          : { _tag: "BlockDone", block: 100 + (b % 60) }
      case "work":
        return { _tag: "WorkAdded", ranges: [[95 + (a % 50), 95 + (a % 50) + (b % 9)]] }
      case "unwork":
        return { _tag: "WorkRemoved", ranges: [[95 + (a % 50), 95 + (a % 50) + (b % 9)]] }
      case "stop":
        return this.mayStop ? { _tag: "Stop" } : { _tag: "Tick" }
      case "tick":
        this.nowMs += b
        return { _tag: "Tick" }
      case "join":
        return undefined
    }
  }

  #sharing(): Array<[number, ModelBatch]> {
    return [...this.batches].filter(([, { shared }]) => shared.size > 0)
  }

  #contestant(block: number, a: number, b: number): Contestant {
    const peerId = a % 7 === 0 ? undefined : nth(this.peers.keys(), b)
    return { block: block + (b % 2 === 0 ? 1 : -1), peerId, putOut: a % 4 !== 0 }
  }

  #peerEvent(
    kind: "rejoin" | "leave" | "lacks" | "has" | "pause" | "range" | "wait",
    peerId: string,
    a: number,
    b: number,
  ): TimelessEvent | undefined {
    if (kind === "leave") return { _tag: "PeerLeft", peerId }
    if (kind === "pause") {
      return {
        _tag: "PeerPaused",
        peerId,
        untilMs: this.nowMs + (b % 700),
        banned: b % 3 === 0,
      }
    }
    if (kind === "rejoin") {
      const gone = nth(
        [...this.peers].filter(([, peer]) => !peer.connected),
        b,
      )
      if (gone === undefined) return undefined
      const [id, { slots, from, to }] = gone
      return { _tag: "PeerJoined", peerId: id, slots, range: { from, to } }
    }
    if (kind === "wait") {
      return { _tag: "PartsWait", peerId, block: nth(this.exhausted, b) ?? 100 + (b % 40) }
    }
    const from = 90 + (a % 50)
    if (kind === "has") {
      return { _tag: "PeerHas", peerId, blocks: BlockRanges.of(from, from + (b % 9)) }
    }
    if (peerId === this.honest) return undefined
    if (kind === "range") {
      return { _tag: "PeerRangeChanged", peerId, range: { from, to: from + (b % 40) } }
    }
    return { _tag: "PeerLacks", peerId, blocks: BlockRanges.of(from, from + (b % 9)) }
  }

  /** What the event alone says. */
  #learn(event: TimelessEvent): void {
    switch (event._tag) {
      case "PeerJoined":
        return this.#learnJoin(event.peerId, event.slots, event.range)
      case "PeerLeft":
        return this.#learnLeave(event.peerId)
      case "PeerRangeChanged": {
        const peer = this.peers.get(event.peerId)
        if (peer !== undefined) Object.assign(peer, event.range)
        return
      }
      case "PeerLacks":
        for (const [from, to] of event.blocks.ranges()) {
          for (let n = from; n <= to; n++) this.peers.get(event.peerId)?.lacks.add(n)
        }
        return
      case "PeerHas": {
        const peer = this.peers.get(event.peerId)
        for (const [from, to] of event.blocks.ranges()) {
          for (let n = from; n <= to; n++) {
            peer?.tried.delete(n)
            peer?.lacks.delete(n)
          }
        }
        return
      }
      case "PartsWait": {
        const peer = this.peers.get(event.peerId)
        if (peer?.connected !== true || !this.exhausted.has(event.block)) return
        peer.tried.delete(event.block)
        peer.secondFrom = event.block
        return
      }
      case "PeerPaused": {
        const peer = this.peers.get(event.peerId)
        if (peer === undefined) return
        peer.usableFromMs = event.untilMs
        peer.banned = event.banned
        return
      }
      case "BlockRejected":
        if (!this.delivered.has(event.block)) return
        this.#markTried(event.peerId, event.block)
        this.#goBack(event.block, true)
        return
      case "BlockContested":
        return this.#learnContest(event)
      case "BlockFailed": {
        const batch = this.batches.get(event.batchId)
        if (batch === undefined || !batch.owned.delete(event.block)) return
        if (event.attempt || event.tried) this.#markTried(batch.peerId, event.block)
        if (event.lacks) {
          this.marked.add(event.block)
          this.peers.get(batch.peerId)?.lacks.add(event.block)
        }
        this.#goBack(event.block, event.attempt)
        return
      }
      case "PeerSlots": {
        const peer = this.peers.get(event.peerId)
        if (peer?.connected === true) peer.slots = event.slots
        return
      }
      case "BatchOverdue":
        return this.#learnOverdue(event.batchId)
      case "BatchEnded":
        return this.#closeBatch(event.batchId)
      case "BlockDelivered": {
        const { batchId, block } = event
        if (!this.isWantedFrom(batchId, block)) return
        for (const { owned } of this.batches.values()) owned.delete(block)
        this.assigned.delete(block)
        this.pending.delete(block)
        this.delivered.set(block, this.batches.get(batchId)!.peerId)
        return
      }
      case "BlockDone":
        if (!this.delivered.delete(event.block)) return
        this.done.add(event.block)
        this.#forgetTrouble(event.block)
        if (this.hopelessSinceMs !== undefined) this.hopelessSinceMs = this.nowMs
        return
      case "WorkAdded":
        for (const [from, to] of event.ranges) {
          for (let n = from; n <= to; n++) {
            if (this.work.has(n)) continue
            this.work.add(n)
            this.pending.add(n)
          }
        }
        return
      case "WorkRemoved":
        for (const [from, to] of event.ranges) {
          for (let n = from; n <= to; n++) this.#forget(n)
        }
        return
      case "Stop":
        this.stopped = true
        this.draining = true
        return
      case "Tick":
        return
    }
  }

  /** Whether the batch may hand the block on: its own, or one that it shares and nobody has brought. */
  isWantedFrom(batchId: number, block: number): boolean {
    const batch = this.batches.get(batchId)
    if (batch === undefined) return false
    const isOpen = this.pending.has(block) || this.assigned.has(block)
    return batch.owned.has(block) || (batch.shared.has(block) && isOpen)
  }

  /** Whether an open batch works on the block beside whoever else has it. */
  isShared(block: number): boolean {
    return [...this.batches.values()].some(({ shared }) => shared.has(block))
  }

  #learnOverdue(batchId: number): void {
    const batch = this.batches.get(batchId)
    if (batch === undefined || this.draining) return
    const others = this.connected().filter(([id, peer]) => id !== batch.peerId && this.isFree(peer))
    for (const block of batch.owned) {
      if (this.exhausted.has(block)) continue
      if (!others.some(([, peer]) => this.isOpenTo(peer, block))) continue
      this.#markTried(batch.peerId, block)
      batch.owned.delete(block)
      batch.shared.add(block)
      this.assigned.delete(block)
      this.pending.add(block)
    }
  }

  /** What was learned of a block from answers is forgotten when it is done. */
  #forgetTrouble(block: number): void {
    this.attempts.delete(block)
    this.exhausted.delete(block)
    if (!this.marked.delete(block)) return
    for (const { tried, lacks } of this.peers.values()) {
      tried.delete(block)
      lacks.delete(block)
    }
  }

  #markTried(peerId: string, block: number): void {
    this.marked.add(block)
    this.peers.get(peerId)?.tried.add(block)
  }

  #learnContest({ block, peerId, others }: Contested): void {
    const isOut = this.delivered.has(block)
    if (others.length === 0) {
      if (!isOut) return
      const known = this.disputes.get(block)
      const untilMs = Math.max(known?.untilMs ?? 0, this.nowMs + 50)
      this.disputes.set(block, { times: known?.times ?? 0, untilMs })
      return this.#goBack(block, false)
    }
    this.delivered.delete(block)
    for (const { peerId: other } of others) if (other !== undefined) this.#oppose(peerId, other)
    const gone = others.filter(
      (other) =>
        other.putOut && !this.assigned.has(other.block) && !this.delivered.has(other.block),
    )
    const back = [...(isOut ? [block] : []), ...gone.map((other) => other.block)]
    if (back.length === 0) return
    const timesOf = (n: number) => (this.disputes.get(n)?.times ?? 0) + 1
    const most = Math.max(...back.map(timesOf))
    const untilMs = this.nowMs + Math.min(1_000, 50 * 4 ** (most - 1))
    for (const n of back) {
      this.disputes.set(n, { times: timesOf(n), untilMs })
      this.work.add(n)
      this.done.delete(n)
      this.#goBack(n, false)
    }
    if (gone.length === 0 && isOut) this.#markTried(peerId, block)
    const isOften = (this.disputes.get(block)?.times ?? 0) >= 8
    for (const { peerId: other, block: theirs } of gone) {
      for (const n of isOut ? [block, theirs] : [theirs]) {
        if (isOften) this.#markTried(peerId, n)
        if (other === undefined) continue
        const isTheirs = this.opponentsOf(other) >= this.opponentsOf(peerId)
        if (isTheirs || isOften) this.#markTried(other, n)
        if (!isTheirs) this.#markTried(peerId, n)
      }
    }
  }

  #oppose(a: string, b: string): void {
    this.opponents.set(a, new Set(this.opponents.get(a)).add(b))
    this.opponents.set(b, new Set(this.opponents.get(b)).add(a))
  }

  #forget(block: number): void {
    this.disputes.delete(block)
    for (const set of [this.work, this.pending, this.done, this.exhausted, this.marked]) {
      set.delete(block)
    }
    for (const map of [this.assigned, this.delivered, this.attempts]) map.delete(block)
    for (const { owned, shared } of this.batches.values()) {
      owned.delete(block)
      shared.delete(block)
    }
    for (const { tried, lacks } of this.peers.values()) {
      tried.delete(block)
      lacks.delete(block)
    }
  }

  #learnJoin(peerId: string, slots: number, range: { from: number; to: number }): void {
    this.#learnLeave(peerId)
    const known = this.peers.get(peerId)
    if (known === undefined) this.hopelessSinceMs = undefined
    this.peers.set(peerId, {
      tried: new Set(),
      lacks: new Set(),
      usableFromMs: 0,
      banned: false,
      ...known,
      ...range,
      connected: true,
      slots,
      openBatches: new Set(),
      turn: this.#turns++,
      secondFrom: 0,
    })
  }

  #learnLeave(peerId: string): void {
    const peer = this.peers.get(peerId)
    if (peer?.connected !== true) return
    peer.connected = false
    for (const [batchId, batch] of this.batches) {
      if (batch.peerId !== peerId) continue
      for (const block of batch.owned) this.#markTried(peerId, block)
      this.#closeBatch(batchId)
    }
  }

  #closeBatch(batchId: number): void {
    const batch = this.batches.get(batchId)
    if (batch === undefined) return
    for (const block of batch.owned) this.#goBack(block, false)
    this.batches.delete(batchId)
    const peer = this.peers.get(batch.peerId)
    if (peer === undefined) return
    peer.openBatches.delete(batchId)
    peer.turn = this.#turns++
  }

  #goBack(block: number, counted: boolean): void {
    this.assigned.delete(block)
    this.delivered.delete(block)
    this.pending.add(block)
    if (counted) this.attempts.set(block, Math.min(3, this.attemptsOf(block) + 1))
  }

  #judge(): void {
    if (this.missing().length === 0 || this.isHopeful()) this.hopelessSinceMs = undefined
    else this.hopelessSinceMs ??= this.nowMs
    if (this.options.open || this.hopelessSinceMs === undefined) return
    if (this.nowMs - this.hopelessSinceMs >= this.options.giveUpMs) this.draining = true
  }

  #follow(command: SchedulerCommand): void {
    if (command._tag === "Finished") this.finished = command.failed
    if (command._tag !== "Assign") return
    this.hooks.onAssign?.(this, command)
    const { batchId, peerId, blocks } = command
    const owned = new Set<number>()
    const peer = this.peers.get(peerId)
    if (peer?.tried.has(blocks.from) === true || this.exhausted.has(blocks.from)) {
      if (peer !== undefined) peer.secondFrom = blocks.to + 1
    }
    for (let n = blocks.from; n <= blocks.to; n++) {
      owned.add(n)
      this.pending.delete(n)
      this.assigned.set(n, batchId)
      if (peer?.tried.has(n) !== true) continue
      this.exhausted.add(n)
      for (const other of this.peers.values()) other.tried.delete(n)
    }
    this.batches.set(batchId, { peerId, owned, shared: new Set() })
    if (peer === undefined) return
    peer.openBatches.add(batchId)
    peer.turn = this.#turns++
  }
}
