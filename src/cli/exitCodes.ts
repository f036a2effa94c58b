/**
 * The codes that the process ends with. Other programs rely on them; they are listed in the
 * README.
 */
import type { StopSignal } from "../observe/Stop.ts"

/** What each exit code means. */
export const ExitCode = {
  /** Everything that was asked for is done. */
  complete: 0,
  /** An error that nobody foresaw. */
  unexpected: 1,
  /** The command line, a file it names, or a port it names cannot be used. */
  usage: 2,
  /** Blocks are missing. */
  gaps: 3,
  /** Blocks are missing, and what was offered for them failed its checks. */
  failedChecks: 4,
  /** A reorganisation deeper than the rollback window. */
  deepReorg: 5,
  /** No peer was ever usable. */
  noPeers: 6,
  /** The store cannot be used. */
  store: 7,
  /** Stopped in order after SIGINT. */
  interrupted: 130,
  /** Stopped in order after SIGTERM. */
  terminated: 143,
} as const

/** One of the codes of the table above. */
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]

/** The code of a process that a signal ended: 128 and the signal's number (POSIX shells). */
export const exitCodeOfSignal = (signal: StopSignal): ExitCode =>
  signal === "SIGINT" ? ExitCode.interrupted : ExitCode.terminated
