/**
 * The head of the chain as a node says that the user trusts: an execution client by JSON-RPC, or a
 * beacon node by its REST interface. Which of the two it is is found out by asking.
 *
 * In: an http or https URL. Out: what it says now. Every question has a deadline, and of an answer no
 * more is read than a bound; redirects are not followed. What cannot be asked or understood is a
 * {@link TrustedHeadUnavailable}, and asked again the next time.
 */
import { Data, Duration, Effect } from "effect"
import type { BlockId } from "./headerTree.ts"
import {
  beaconCheckpoints,
  beaconExecutionBlock,
  beaconHeadRoot,
  rpcBlock,
  rpcChainId,
  rpcResult,
} from "./trustedAnswers.ts"

/** What the trusted node says. */
export interface TrustedChain {
  readonly head: BlockId
  /** Undefined where it does not say. */
  readonly safe: BlockId | undefined
  readonly finalized: BlockId | undefined
}

/** The node cannot be asked, or what it says is no answer. */
export class TrustedHeadUnavailable extends Data.TaggedError("TrustedHeadUnavailable")<{
  /** In a few words. */
  readonly reason: string
}> {}

/** A node to ask. */
export interface TrustedHead {
  /** What it says of its head now. */
  readonly ask: Effect.Effect<TrustedChain, TrustedHeadUnavailable>
  /** The block of its chain at a height; undefined where it is not to be asked that, or has none. */
  readonly blockAt: (number: number) => Effect.Effect<BlockId | undefined, TrustedHeadUnavailable>
}

type AskTrustedHead = TrustedHead["ask"]

/** How long one question may take. */
const QUESTION_MS = 5_000
/** The most that is read of an answer: a beacon block has all of its transactions, in hex. */
const MOST_ANSWER_BYTES = 32 * 1024 * 1024

/** The node at `url`, of a chain with this id. Beacon nodes know no block by its number alone. */
export const makeTrustedHead = (url: string, chainId: bigint): TrustedHead => {
  let kind: "execution" | "beacon" | undefined
  const base = url.replace(/\/+$/u, "")
  const execution = askExecution(url)
  const beacon = makeAskBeacon(base)

  const detect = Effect.gen(function* () {
    const id = rpcChainId(
      rpcResult(yield* Effect.orElseSucceed(rpc(url, "eth_chainId", []), noAnswer)),
    )
    if (id !== undefined) {
      if (id === chainId) return (kind = "execution")
      return yield* unavailable(`it is on chain ${id}, not on ${chainId}`)
    }
    const head = yield* getJson(`${base}/eth/v1/beacon/headers/head`)
    if (beaconHeadRoot(head) !== undefined) return (kind = "beacon")
    return yield* unavailable("it answers neither as an execution client nor as a beacon node")
  })

  const known = Effect.suspend(() => (kind === undefined ? detect : Effect.succeed(kind)))
  return {
    ask: Effect.flatMap(known, (found) => (found === "execution" ? execution : beacon)),
    blockAt: (number) =>
      Effect.flatMap(known, (found) =>
        found === "execution"
          ? askBlock(url, `0x${number.toString(16)}`)
          : Effect.succeed(undefined),
      ),
  }
}

const noAnswer = (): undefined => undefined

const unavailable = (reason: string): Effect.Effect<never, TrustedHeadUnavailable> =>
  Effect.fail(new TrustedHeadUnavailable({ reason }))

const askBlock = (url: string, tag: string) =>
  Effect.map(rpc(url, "eth_getBlockByNumber", [tag, false]), (answer) =>
    rpcBlock(rpcResult(answer)),
  )

const askExecution = (url: string): AskTrustedHead => {
  const block = (tag: string) => askBlock(url, tag)
  return Effect.gen(function* () {
    const head = yield* block("latest")
    if (head === undefined) return yield* unavailable("it names no latest block")
    const safe = yield* block("safe")
    const finalized = yield* block("finalized")
    return { head, safe, finalized }
  })
}

const makeAskBeacon = (base: string): AskTrustedHead => {
  // The head, the justified and the finalized one; a beacon block never changes.
  const known = new Map<string, BlockId>()
  const blockOf = (root: string) =>
    Effect.suspend(() => {
      const before = known.get(root)
      if (before !== undefined) return Effect.succeed(before)
      return Effect.map(getJson(`${base}/eth/v2/beacon/blocks/${root}`), (answer) => {
        const block = beaconExecutionBlock(answer)
        if (block === undefined) return undefined
        known.set(root, block)
        for (const oldest of known.keys()) {
          if (known.size <= MOST_KNOWN) break
          known.delete(oldest)
        }
        return block
      })
    })
  const blockOfSome = (root: string | undefined) =>
    root === undefined ? Effect.succeed(undefined) : blockOf(root)

  return Effect.gen(function* () {
    const root = beaconHeadRoot(yield* getJson(`${base}/eth/v1/beacon/headers/head`))
    const head = yield* blockOfSome(root)
    if (head === undefined) return yield* unavailable("its head has no execution block")
    const checkpoints = yield* Effect.orElseSucceed(
      Effect.map(
        getJson(`${base}/eth/v1/beacon/states/head/finality_checkpoints`),
        beaconCheckpoints,
      ),
      () => ({ justified: undefined, finalized: undefined }),
    )
    const quietly = (root: string | undefined) =>
      Effect.orElseSucceed(blockOfSome(root), () => undefined)
    return {
      head,
      // What a consensus client calls safe is the justified checkpoint (consensus-specs, fork choice).
      safe: yield* quietly(checkpoints.justified),
      finalized: yield* quietly(checkpoints.finalized),
    }
  })
}

/** Beacon blocks whose execution block is remembered. */
const MOST_KNOWN = 16

const rpc = (url: string, method: string, params: ReadonlyArray<unknown>) =>
  json(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
  })

const getJson = (url: string) => json(url, { headers: { accept: "application/json" } })

const json = (url: string, init: RequestInit): Effect.Effect<unknown, TrustedHeadUnavailable> =>
  Effect.tryPromise({
    try: async (signal) => {
      const response = await fetch(url, { ...init, signal, redirect: "error" })
      const text = await readBounded(response)
      if (!response.ok) throw new Error(`HTTP ${response.status}`)
      const value: unknown = JSON.parse(text)
      return value
    },
    catch: (error) => new TrustedHeadUnavailable({ reason: reasonOf(error) }),
  }).pipe(
    Effect.timeoutFail({
      duration: Duration.millis(QUESTION_MS),
      onTimeout: () =>
        new TrustedHeadUnavailable({ reason: `no answer within ${QUESTION_MS / 1000} s` }),
    }),
  )

const readBounded = async (response: Response): Promise<string> => {
  const chunks: Array<Uint8Array> = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    if (bytes > MOST_ANSWER_BYTES) throw new Error("an answer of more than 32 MiB")
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString("utf8")
}

/** The system's code where there is one: fetch hides it in the cause. */
const reasonOf = (error: unknown): string => {
  const cause = error instanceof Error ? (error.cause ?? error) : error
  if (cause instanceof Error && "code" in cause && typeof cause.code === "string") return cause.code
  return cause instanceof Error ? cause.message : String(cause)
}
