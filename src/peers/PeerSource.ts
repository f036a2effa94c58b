/**
 * Where candidates come from: a Stream of nodes that may be dialled. Each way of finding peers is
 * a Layer of this tag.
 */
import { Context, Layer, Stream } from "effect"
import type { Enode } from "../chain/enode.ts"
import type { ForkId } from "../chain/forkId.ts"

/** A node that may be worth a dial, and who named it. */
export interface Candidate {
  readonly enode: Enode
  readonly source: "static" | "cache" | "dns" | "discv4"
  /** From the `eth` entry of its node record, where it was seen and fits our chain. */
  readonly forkId?: ForkId
}

/** See the module. */
export interface PeerSourceShape {
  /** May be endless. Candidates may repeat; the dialler knows whom it has. */
  readonly candidates: Stream.Stream<Candidate>
  /** In a few words, for the message that no peer was found: what was looked at. */
  readonly description: string
}

/** See {@link PeerSourceShape}. */
export class PeerSource extends Context.Tag("annals/PeerSource")<PeerSource, PeerSourceShape>() {
  /** Only the peers named by `--peer`. */
  static readonly layerStatic = (enodes: ReadonlyArray<Enode>): Layer.Layer<PeerSource> =>
    Layer.sync(PeerSource, () => PeerSource.fixed(enodes))

  /** All of several sources at once. */
  static readonly merged = (sources: ReadonlyArray<PeerSourceShape>): PeerSourceShape => ({
    candidates: Stream.mergeAll(
      sources.map((source) => source.candidates),
      { concurrency: "unbounded" },
    ),
    description: sources.map((source) => source.description).join("; "),
  })

  /** The peers named by `--peer`. */
  static readonly fixed = (enodes: ReadonlyArray<Enode>): PeerSourceShape => ({
    candidates: Stream.fromIterable(enodes).pipe(
      Stream.map((enode): Candidate => ({ enode, source: "static" })),
    ),
    description: enodes.length === 0 ? "no --peer was given" : `${enodes.length} static peers`,
  })
}
