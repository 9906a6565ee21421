# Read by `run` and `keep`: where the targets are built, and how.
work="$PWD/target/fuzz"
bin="$work/x86_64-unknown-linux-gnu/release"
tools="$PWD/target/tools"
export PATH="$tools/bin:$PATH"
# The compiler's own switches for coverage and sanitizers are no stable ones.
export RUSTC_BOOTSTRAP=1
# The C parts go with the same sanitizer.
command -v clang >/dev/null && export CC=${CC:-clang} CXX=${CXX:-clang++}

all_targets() { sed -n 's/^name = "\([a-z]*\)"$/\1/p' tests/fuzz/Cargo.toml; }

build() {
    command -v cargo-fuzz >/dev/null ||
        cargo install --quiet --locked --root "$tools" cargo-fuzz@0.13.2
    cargo fuzz build --fuzz-dir tests/fuzz --target-dir "$work" --sanitizer "${SANITIZER:-address}"
}
