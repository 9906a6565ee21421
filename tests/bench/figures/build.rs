//! What is measured is built first: the daemon as it is shipped, the floor, and what is put into
//! processes before their own code.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

/// Where this package is.
const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What builds it.
const CARGO: &str = env!("CARGO");

/// The files that are measured or take part.
pub(crate) struct Built {
    /// The daemon.
    pub(crate) daemon: PathBuf,
    /// A fresh twilight client that asks directly.
    pub(crate) floor: PathBuf,
    /// Sets `TCP_NODELAY` where the opposite is asked for.
    pub(crate) nodelay: PathBuf,
    /// Counts allocations.
    pub(crate) count: PathBuf,
}

impl Built {
    /// Builds all of it, or all but a daemon that is built already.
    ///
    /// # Errors
    ///
    /// When something does not build.
    pub(crate) fn new(daemon: Option<PathBuf>) -> anyhow::Result<Self> {
        // The folder that this program was built in.
        let program = env::current_exe()?;
        let target = program.ancestors().nth(3).context("no target folder")?;
        let tools = target.join("figures");
        fs::create_dir_all(&tools)?;
        let source = |name: &str| Path::new(ROOT).join("tests/bench").join(name);
        let floor = target.join("floor");
        let mut cargo = Command::new(CARGO);
        cargo
            .args([
                "build",
                "--quiet",
                "--locked",
                "--release",
                "--manifest-path",
            ])
            .arg(source("floor/Cargo.toml"))
            .arg("--target-dir")
            .arg(&floor);
        run(&mut cargo)?;
        let shipped = target.join("dist/discordd");
        if daemon.is_none() {
            let mut cargo = Command::new(CARGO);
            cargo
                .args(["build", "--quiet", "--locked", "--profile", "dist"])
                .args(["--bin", "discordd", "--manifest-path"])
                .arg(Path::new(ROOT).join("Cargo.toml"))
                .arg("--target-dir")
                .arg(target);
            run(&mut cargo)?;
        }
        let preload = |name: &str| {
            let library = tools.join(name).with_extension("so");
            let mut cc = Command::new("cc");
            cc.args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
                .arg(&library)
                .arg(source("figures").join(name));
            run(&mut cc).map(|()| library)
        };
        Ok(Self {
            daemon: daemon.unwrap_or(shipped),
            floor: floor.join("release/floor"),
            nodelay: preload("nodelay.c")?,
            count: preload("count.c")?,
        })
    }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_owned();
    let status = command.status();
    let status = status.with_context(|| format!("run {}", program.display()))?;
    anyhow::ensure!(status.success(), "{} failed", program.display());
    Ok(())
}
