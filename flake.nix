{
  description = "annals: Ethereum's history, fetched straight from the peers of the devp2p network";

  # A release that still builds for all four systems below.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;

      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];

      forEachSystem = build: lib.genAttrs systems (system: build nixpkgs.legacyPackages.${system});

      manifest = lib.importJSON ./package.json;
      lock = lib.importJSON ./package-lock.json;

      # The lock may leave out where a package comes from when that is the registry
      # (npm's omit-lockfile-registry-resolved). Nix has to be told; the integrity hashes are the lock's.
      fromRegistry =
        path: package:
        let
          name = package.name or (builtins.head (builtins.match ".*node_modules/(.+)" path));
        in
        package
        // lib.optionalAttrs (package ? integrity && !(package ? resolved)) {
          resolved = "https://registry.npmjs.org/${name}/-/${baseNameOf name}-${package.version}.tgz";
        };
    in
    {
      packages = forEachSystem (pkgs: rec {
        default = annals;

        annals = pkgs.buildNpmPackage {
          pname = manifest.name;
          version = manifest.version;
          src = self;

          nodejs = pkgs.nodejs_22;

          npmDeps = pkgs.importNpmLock {
            package = manifest;
            packageLock = lock // {
              packages = builtins.mapAttrs fromRegistry lock.packages;
            };
          };
          npmConfigHook = pkgs.importNpmLock.npmConfigHook;

          # better-sqlite3 is compiled, and node-gyp is written in Python.
          nativeBuildInputs = [ pkgs.python3 ];

          meta = {
            description = manifest.description;
            license = lib.licenses.mit;
            mainProgram = "annals";
            platforms = systems;
          };
        };
      });

      devShells = forEachSystem (pkgs: {
        # mkShell brings the compiler and make of stdenv, for the native modules.
        default = pkgs.mkShell {
          packages = [
            pkgs.nodejs_22
            pkgs.python3
            pkgs.gnumake
            pkgs.sqlite
            # A real client, to try against.
            pkgs.go-ethereum
          ];
        };
      });
    };
}
