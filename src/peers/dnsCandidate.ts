/**
 * From a node record of a DNS list to a node that may be dialled. Pure.
 */
import type { ChainSpec } from "../chain/chainSpec.ts"
import { type Enr, enodeOfEnr } from "../chain/enr.ts"
import { forkIdFits } from "../chain/forkId.ts"
import type { Candidate } from "./PeerSource.ts"

/** Why a node of a list is no candidate. */
export type NoCandidate = "no address" | "another chain"

/** The candidate that a record makes; without `forkId` where the record has no `eth` entry. */
export const candidateOf = (
  chain: ChainSpec,
  enr: Enr,
  nowSeconds: number,
): Candidate | NoCandidate => {
  const enode = enodeOfEnr(enr)
  if (enode === undefined) return "no address"
  const { forkId } = enr
  if (forkId === undefined) return { enode, source: "dns" }
  return forkIdFits(chain, forkId, nowSeconds) ? { enode, source: "dns", forkId } : "another chain"
}
