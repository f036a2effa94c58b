/**
 * Why a store cannot be used. Every one of these ends the program with exit code 7 and one line;
 * none of them is a peer's fault, and none is cured by trying again.
 *
 * In: what SQLite, the file system or the store's own content said. Out: a {@link StoreError}, whose
 * failure is plain data, so that it crosses from the store's thread as it is.
 */
import { Data } from "effect"

/** What is wrong with the store. Hashes are hex with 0x; codes are SQLite's or the system's. */
export type StoreFailure =
  /** There is no store where one is to be read. */
  | { readonly kind: "missing" }
  /** The directory or the file cannot be made or opened: permissions, a file in the way. */
  | { readonly kind: "cannot_open"; readonly code: string }
  /** The file or its file system cannot be written to. */
  | { readonly kind: "read_only" }
  /** The file is no SQLite database, or one of another program. */
  | { readonly kind: "foreign_file" }
  /** The file was an SQLite database and is damaged. */
  | { readonly kind: "damaged"; readonly code: string }
  /** It holds another chain. */
  | {
      readonly kind: "other_chain"
      readonly field: "chain id" | "genesis hash"
      readonly expected: string
      readonly actual: string
    }
  /** A later version of the program wrote it. */
  | { readonly kind: "newer_schema"; readonly known: number; readonly found: number }
  /** An earlier version wrote it, and it is opened for reading only. */
  | { readonly kind: "older_schema"; readonly known: number; readonly found: number }
  /** Another process writes to it. */
  | { readonly kind: "locked" }
  /** No room is left where it lies. */
  | { readonly kind: "disk_full" }
  /** The system failed to read or write it for another reason. */
  | { readonly kind: "io"; readonly code: string }
  /** What it holds is anchored to something else than a hash that is trusted now. */
  | {
      readonly kind: "trust_contradicted"
      readonly blockNumber: number
      readonly expected: string
      readonly actual: string
    }
  /** Its thread could not start, or ended by itself. */
  | { readonly kind: "thread_ended"; readonly detail: string }

/** The store at `path` cannot be used; see {@link StoreFailure}. */
export class StoreError extends Data.TaggedError("StoreError")<{
  readonly path: string
  readonly failure: StoreFailure
}> {
  /** One line for the user, without the program's name. */
  override get message(): string {
    return `the store ${this.path} ${explain(this.failure)}`
  }
}

const explain = (failure: StoreFailure): string => {
  switch (failure.kind) {
    case "missing":
      return "does not exist; annals sync makes one"
    case "cannot_open":
      return `cannot be opened or made (${failure.code})`
    case "read_only":
      return "is read-only"
    case "foreign_file":
      return "is no store of annals"
    case "damaged":
      return `is damaged (${failure.code})`
    case "other_chain":
      return `holds another chain: its ${failure.field} is ${failure.actual}, not ${failure.expected}`
    case "newer_schema":
      return `has schema ${failure.found}; this version of annals knows up to ${failure.known}`
    case "older_schema":
      return `has schema ${failure.found}, older than ${failure.known}; annals sync brings it up to date`
    case "locked":
      return "is in use by another process that writes to it"
    case "disk_full":
      return "cannot grow: the disk is full"
    case "io":
      return `cannot be read or written (${failure.code})`
    case "trust_contradicted":
      return `has ${failure.actual} as anchored block ${failure.blockNumber}, but ${failure.expected} is trusted`
    case "thread_ended":
      return `cannot be used: ${failure.detail}`
  }
}
