/**
 * Every tunable of the program: its unit, its default, and why it has that value. Commands turn
 * their flags into overrides of {@link defaults}; tests override what they need.
 */
import { Context, Layer } from "effect"

/** The tunables. Names carry their units; every value is a whole number of at least 0. */
export interface SettingsShape {
  /** Most blocks in a batch. 32: a batch's headers and receipts fit a few answers of 2 MiB. */
  readonly blocksPerAssignment: number
  /** Receipts lists asked for at once. 16: about one soft limit (2 MiB) of mainnet's blocks. */
  readonly receiptsPerRequest: number
  /** Deadline of one request. 4 s: several round trips to the other side of the world. */
  readonly requestTimeoutMs: number
  /** How long what nobody serves is waited for, and how long for a first peer. */
  readonly giveUpMs: number
  /** Blocks below the head that may still be reorganised away. */
  readonly rollbackWindowBlocks: number
  /**
   * How often each peer is asked for its head while the head is followed. 2 s: a sixth of mainnet's
   * slot, and one small request.
   */
  readonly followEveryMs: number
  /** Sessions that we open and keep at once. */
  readonly maxPeers: number
  /**
   * Most sessions that we open, whatever `maxPeers` says. 400: each is a socket, its buffers and
   * its share of the pings.
   */
  readonly maxOutbound: number
  /**
   * Sessions that peers have opened with us, beside `maxPeers`. 200: who asks and gives nothing costs
   * some 100 kB and its pings.
   */
  readonly maxInbound: number
  /** Sessions before work starts. */
  readonly minPeers: number
  /** Dials under way at once: each costs a handshake of about 9 ms of processor time. */
  readonly maxConcurrentDials: number
  /** Most batches a peer works on at once. One in probe, so that a latency is that of one request. */
  readonly slotsPerPeer: number
  /** First pause of a peer after a failure; doubles with each further one. */
  readonly coolDownMs: number
  /** Longest cool-down. */
  readonly maxCoolDownMs: number
  /** Failures in a row that ban a peer. */
  readonly failuresToBan: number
  /** How long a ban lasts. */
  readonly banMs: number
  /** First wait before a peer that could not be reached is dialled again; doubles. */
  readonly redialMs: number
  /** Longest wait between dials. 30 s: geth and reth take one attempt per address in that time. */
  readonly maxRedialMs: number
  /**
   * Bytes of answers that may be under way or in memory, from the request to the last stage.
   * 48 MiB are some 180 blocks of mainnet: more only grows the process, which shall stay under 512
   * MiB with the store's own 32 MiB of an open transaction and three threads' heaps.
   */
  readonly bytesInFlight: number
  /**
   * Bytes of parts that wait for the rest of their blocks. 16 MiB are the bodies of some 160 blocks
   * of mainnet: five batches ahead of who has the receipts. More is only more memory: a peer without
   * receipts would run further ahead and no block be done sooner.
   */
  readonly larderBytes: number
  /**
   * After this time a part that waits for the rest of its block makes room for others. 30 s: as long
   * as the longest pause of a peer that may have the rest.
   */
  readonly larderMs: number
  /** What a receipts answer is taken to weigh before it is there: the peers' soft limit. */
  readonly receiptsAnswerBytes: number
  /** What an adaptive request's answer is to weigh: room below the soft limit for a bad guess. */
  readonly answerTargetBytes: number
  /** What one header is taken to weigh before it is there. */
  readonly headerBytes: number
  /**
   * Groups of blocks, those of one answer or one pack, that are queued before a stage. Their bytes are
   * bounded by `bytesInFlight`; this bounds the bookkeeping, about 1 kB a block, where blocks are
   * empty: 64 groups are some 2,000 of them.
   */
  readonly stageQueueGroups: number
}

/** Batches that each peer is given before anything is known of it, where it may have as many. */
export const FIRST_SLOTS = 2

/** The values without any flag. */
export const defaults: SettingsShape = {
  blocksPerAssignment: 32,
  receiptsPerRequest: 16,
  requestTimeoutMs: 4_000,
  giveUpMs: 60_000,
  rollbackWindowBlocks: 64,
  followEveryMs: 2_000,
  maxPeers: 50,
  maxOutbound: 400,
  maxInbound: 200,
  minPeers: 1,
  maxConcurrentDials: 200,
  slotsPerPeer: 1,
  coolDownMs: 500,
  maxCoolDownMs: 30_000,
  failuresToBan: 5,
  banMs: 120_000,
  redialMs: 1_000,
  maxRedialMs: 30_000,
  bytesInFlight: 48 * 1024 * 1024,
  larderBytes: 16 * 1024 * 1024,
  larderMs: 30_000,
  receiptsAnswerBytes: 2 * 1024 * 1024,
  answerTargetBytes: 1_500_000,
  headerBytes: 700,
  stageQueueGroups: 64,
}

/** The tunables in force. */
export class Settings extends Context.Tag("annals/Settings")<Settings, SettingsShape>() {
  /** The defaults with some values replaced. */
  static readonly layer = (overrides: Partial<SettingsShape> = {}): Layer.Layer<Settings> =>
    Layer.succeed(Settings, { ...defaults, ...overrides })
}
