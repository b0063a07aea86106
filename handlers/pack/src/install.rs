//! Installing a toolchain for the handlers, where none is.
//!
//! In scope: rustup's target, else Debian's packages. Says aloud what it tries.
//! Out of scope: which toolchains there are and what they are good for (the kit).

use std::path::Path;
use std::process::Command;

use openexec_kit::toolchain::{self, APT_INSTALL, TARGET, Toolchain};
use openexec_kit::{KitError, output, succeed};

use crate::error::Error;

/// The first that is there or can be made to be there.
pub(crate) fn find_or_install(handlers: &Path) -> Result<Toolchain, Error> {
    if let Some(toolchain) = toolchain::rustup(handlers)? {
        return Ok(toolchain);
    }
    println!("pack: trying `rustup target add {TARGET}`");
    if succeed(Command::new("rustup").args(["target", "add", TARGET]).current_dir(handlers)).is_ok()
        && let Some(toolchain) = toolchain::rustup(handlers)?
    {
        return Ok(toolchain);
    }
    println!("pack: that did not work (no rustup here, or no network for it); going on with the Debian toolchain");
    if let Some(toolchain) = toolchain::debian(handlers)? {
        return Ok(toolchain);
    }
    apt_install()?;
    Ok(toolchain::debian(handlers)?.ok_or(KitError::NoRust)?)
}

fn apt_install() -> Result<(), Error> {
    if output(Command::new("apt-get").arg("--version")).is_err() {
        return Err(KitError::NoRust.into());
    }
    if output(Command::new("id").arg("-u"))?.trim() != "0" {
        return Err(Error::NotRoot);
    }
    println!("pack: running `{APT_INSTALL}`");
    Ok(succeed(Command::new("sh").args(["-c", APT_INSTALL]).env("DEBIAN_FRONTEND", "noninteractive"))?)
}
