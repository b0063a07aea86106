//! `openexec receipt assemble`: the evidence that a caller holds.

use std::error::Error;
use std::process::ExitCode;

use openexec_core::evidence;
use openexec_core::names::Audience;

use super::read;
use crate::args::DEFAULT_AUDIENCE;
use crate::args::receipt::AssembleOptions;
use crate::logging::say;

pub(crate) fn assemble(options: &AssembleOptions) -> Result<ExitCode, Box<dyn Error>> {
    let audience = Audience::parse(options.audience.as_deref().unwrap_or(DEFAULT_AUDIENCE))?;
    let proof = options.proof.as_deref().map(|path| Ok::<_, Box<dyn Error>>(String::from_utf8(read(path)?)?));
    let (request, answer) = (read(&options.request)?, read(&options.answer)?);
    let evidence = evidence::assemble(&request, &answer, &[audience], proof.transpose()?)?;
    say(&evidence.spell());
    Ok(ExitCode::SUCCESS)
}
