/** `annals status`: what the store holds, from its own account, read beside a running sync. */
import { Effect } from "effect"
import { ExitCode } from "../cli/exitCodes.ts"
import type { StatusOptions } from "../cli/statusOptions.ts"
import type { Stop } from "../observe/Stop.ts"
import { Terminal } from "../observe/Terminal.ts"
import { Store } from "../write/Store.ts"
import { commitDefaults, type DatasetStatus, type StoreStatus } from "../write/storeProtocol.ts"
import { rangesText, runOnStore } from "./withStore.ts"

/** Prints the status. It takes milliseconds, and there is nothing else to do: no thread. */
export const runStatus = (
  options: StatusOptions,
): Effect.Effect<ExitCode, never, Stop | Terminal> =>
  runOnStore(
    Store.layerInline({
      directory: options.dataDir,
      purpose: { kind: "read" },
      ...commitDefaults,
    }),
    (store) =>
      Effect.gen(function* () {
        const terminal = yield* Terminal
        const status = yield* store.status
        yield* terminal.data(options.json ? JSON.stringify(jsonOf(status)) : textOf(status))
        return ExitCode.complete
      }),
  )

/** The contract's object; receipts are as many as transactions. */
const jsonOf = (status: StoreStatus) => ({
  network: status.network,
  chain_id: status.chainId,
  genesis_hash: status.genesisHash,
  schema: status.schema,
  blocks: status.blocks,
  anchored: status.anchored,
  linked: status.linked,
  alone: status.alone,
  transactions: status.transactions,
  receipts: status.transactions,
  logs: status.logs,
  db_bytes: status.databaseBytes,
  datasets: Object.fromEntries(
    status.datasets.map(({ name, blocks, ranges, gaps }) => [name, { blocks, ranges, gaps }]),
  ),
})

const textOf = (status: StoreStatus): string =>
  [
    `network       ${status.network}, chain ${status.chainId}`,
    `genesis       ${status.genesisHash}`,
    `size          ${(status.databaseBytes / 2 ** 20).toFixed(1)} MiB, schema ${status.schema}`,
    `blocks        ${status.blocks}: ${status.anchored} anchored, ${status.linked} linked, ${status.alone} alone`,
    `transactions  ${status.transactions}, and as many receipts`,
    `logs          ${status.logs}`,
    ...status.datasets.flatMap(datasetText),
  ].join("\n")

const datasetText = ({ name, blocks, ranges, gaps }: DatasetStatus): ReadonlyArray<string> => [
  `${name}: ${blocks} blocks, ${rangesText(ranges)}`,
  ...(gaps.length > 0 ? [`  missing: ${rangesText(gaps)}`] : []),
]
