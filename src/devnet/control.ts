/**
 * What can be told a devnet while it runs, one command a line:
 *
 *     [peers A[-B]] [head N[@main|fork]] [branch main|fork]
 *
 *     [peers A[-B]] where
 *
 * In any order, each part once; without `peers` it is for all of them. `head N fork` is short for
 * `head N branch fork`. `where` moves nothing and is answered like the others. Pure: a line in, a command or what is wrong with the line out.
 */
import { type BranchName, branchNames } from "./liveChain.ts"

/** A command that can be read. Peers are counted from 0, both ends inclusive. */
export interface ControlCommand {
  readonly peers: readonly [from: number, to: number]
  /** Undefined: as it is. */
  readonly branch: BranchName | undefined
  readonly head: number | undefined
}

/** Reads a line; a text says what is wrong with it. */
export const parseControl = (line: string, peerCount: number): ControlCommand | string => {
  const words = line.trim().split(/\s+/u)
  let peers: readonly [number, number] | undefined
  let branch: BranchName | undefined
  let head: number | undefined
  let asked = false
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!
    const known = branchNames.find((name) => name === word)
    if (known !== undefined) {
      if (branch !== undefined) return "the branch is given twice"
      branch = known
    } else if (word === "where") {
      asked = true
    } else if (word === "branch") {
      if (!branchNames.some((name) => name === words[at + 1])) return "branch takes main or fork"
    } else if (word === "head") {
      const [, number = "", name] = /^(\d{1,15})(?:@(main|fork))?$/u.exec(words[++at] ?? "") ?? []
      if (number === "") return "head takes a block number, or one such as 120@fork"
      head = Number(number)
      branch = branchNames.find((one) => one === name) ?? branch
    } else if (word === "peers") {
      peers = parsePeers(words[++at] ?? "", peerCount)
      if (peers === undefined) return `peers takes one of 0 to ${peerCount - 1}, or a range of them`
    } else return `"${word}" is none of peers, head, branch and where`
  }
  const moves = branch !== undefined || head !== undefined
  if (asked && moves) return "where stands alone"
  if (!asked && !moves) return "neither a head nor a branch is given"
  return { peers: peers ?? [0, peerCount - 1], branch, head }
}

const parsePeers = (text: string, peerCount: number): readonly [number, number] | undefined => {
  const [, first = "", last = first] = /^(\d{1,6})(?:-(\d{1,6}))?$/u.exec(text) ?? []
  const range = [Number(first), Number(last)] as const
  return first === "" || range[0] > range[1] || range[1] >= peerCount ? undefined : range
}
