/** What we call ourselves to peers: name, version, platform and runtime, as clients do. */
import manifest from "../../package.json" with { type: "json" }

/** For devp2p's hello. */
export const clientId = `annals/v${manifest.version}/${process.platform}-${process.arch}/node${process.versions.node}`
