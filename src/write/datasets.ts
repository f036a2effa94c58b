/**
 * Names of datasets in `coverage`: what it is that a range of blocks has.
 *
 * - `payloads` and `blocks`: every stored block has them.
 * - a table's name: all rows that its blocks have.
 * - `logs?address=0x…,0x…&topic0=0x…`: the logs that pass that filter. They lie in the same table
 *   `logs`, which so never looks fuller than it is: its own name covers only blocks of which all
 *   logs are there.
 * - `transactions.from_address`: the senders of the rows of `transactions`.
 *
 * Invariants: one filter has one name, whatever the order in which it was written;
 * `parseDataset(datasetName(x))` is `x`.
 */
import type { LogFilter } from "./rows.ts"
import { optionalTables, type OptionalTable } from "./tables.ts"

/** What is kept of every stored block. */
export const blockDatasets = ["payloads", "blocks"] as const

/** The senders in the table `transactions`. */
export const sendersDataset = "transactions.from_address"

/** A dataset beyond those of every block. */
export type Dataset =
  | { readonly kind: "table"; readonly table: OptionalTable }
  | { readonly kind: "filtered"; readonly table: "logs"; readonly filter: LogFilter }
  | { readonly kind: "senders"; readonly table: "transactions" }

/** The name under which `coverage` has a dataset. */
export const datasetName = (dataset: Dataset): string => {
  switch (dataset.kind) {
    case "table":
      return dataset.table
    case "senders":
      return sendersDataset
    case "filtered":
      return `logs?${filterText(dataset.filter)}`
  }
}

/** The dataset of a name; undefined for those of every block, and for what is no such name. */
export const parseDataset = (name: string): Dataset | undefined => {
  if (name === sendersDataset) return { kind: "senders", table: "transactions" }
  const table = optionalTables.find((known) => known === name)
  if (table !== undefined) return { kind: "table", table }
  if (!name.startsWith("logs?")) return undefined
  const filter = {
    addresses: membersOf(name, /[?&]address=([^&]*)/),
    topic0s: membersOf(name, /[?&]topic0=([^&]*)/),
  }
  return isFilter(filter) ? { kind: "filtered", table: "logs", filter } : undefined
}

/** Whether a filter keeps anything out. */
export const isFilter = ({ addresses, topic0s }: LogFilter): boolean =>
  addresses.size + topic0s.size > 0

const filterText = ({ addresses, topic0s }: LogFilter): string =>
  [["address", addresses] as const, ["topic0", topic0s] as const]
    .filter(([, members]) => members.size > 0)
    .map(
      ([name, members]) =>
        `${name}=${[...members]
          .sort()
          .map((hex) => `0x${hex}`)
          .join(",")}`,
    )
    .join("&")

const membersOf = (name: string, pattern: RegExp): ReadonlySet<string> => {
  const [, list = ""] = pattern.exec(name) ?? []
  return new Set(list === "" ? [] : list.split(",").map((word) => word.replace(/^0x/, "")))
}
