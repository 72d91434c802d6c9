//! Where the binaries are: in the folder of the running one, built from the same workspace.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The root of the repository that this was built from.
pub fn repository() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("the tests crate lies one folder below the root").to_path_buf()
}

/// Builds `fieldgate` and `fieldgate-cloud` in the profile of the running binary. Cargo shows its
/// progress on stderr.
pub fn build() -> Result<()> {
    let folder = folder()?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(repository()).args(["build", "--workspace", "--bins"]).stdin(Stdio::null());
    if folder.file_name().is_some_and(|name| name == "release") {
        cargo.arg("--release");
    }
    if let Some(target) = folder.parent() {
        cargo.arg("--target-dir").arg(target);
    }
    let status = cargo.status().context("cannot start cargo")?;
    if !status.success() {
        bail!("the binaries do not build: cargo ended with {status}");
    }
    Ok(())
}

/// Path of the built binary `name`.
pub fn binary(name: &str) -> Result<PathBuf> {
    let path = folder()?.join(name);
    if !path.is_file() {
        bail!("`{}` is not built; `cargo build --workspace --bins` builds it", path.display());
    }
    Ok(path)
}

/// `target/debug`: a test lies in `deps` below it, the demo in it.
fn folder() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let folder = own.parent().context("a program lies in a folder")?;
    let is_deps = folder.file_name().is_some_and(|name| name == "deps");
    let folder = if is_deps { folder.parent().unwrap_or(folder) } else { folder };
    Ok(folder.to_path_buf())
}
