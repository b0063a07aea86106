//! `openexec handler new` and `handler build`: what the kit does, said to people.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use openexec_core::digest::Digest;
use openexec_kit::{Language, Name};

use crate::args::handler::{BuildOptions, NewOptions};
use crate::logging::say;

pub(crate) fn new(options: &NewOptions) -> Result<ExitCode, Box<dyn Error>> {
    let (name, language) = (Name::parse(&options.name)?, options.lang.parse::<Language>()?);
    openexec_kit::create(Path::new(name.as_str()), &name, language)?;
    say(&format!("{name}/ is a handler in {language}: its README.md says what to install and how to go on"));
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn build(options: &BuildOptions) -> Result<ExitCode, Box<dyn Error>> {
    let started = Instant::now();
    let built = openexec_kit::build(&options.folder)?;
    let (bytes, seconds) = (built.component.bytes(), started.elapsed().as_secs_f64());
    let digest = Digest::of(bytes);
    say(&format!(
        "{}: {} bytes in {seconds:.1} s, imports nothing\n    sha256 {digest}",
        built.path.display(),
        bytes.len()
    ));
    if let Some(why) = built.language.varies() {
        say(&format!("    building again gives another digest: {why}"));
    }
    Ok(ExitCode::SUCCESS)
}
