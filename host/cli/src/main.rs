//! `openexec`: one binary for the host and its tools.
//!
//! In scope: turning a command line into a call, and its outcome into an exit code.
//! Out of scope: everything a command does.
//!
//! Exit codes: 0 done; 1 the answer is no (a refused or failed execution, an approval that is not accepted, evidence that
//! fails, a log that was caught, a component that is not acceptable); 2 it could not be done; 3 (`receipt verify` only) nothing failed, but not everything
//! could be checked.

mod approval;
mod args;
mod child;
mod compile;
mod components;
mod config;
mod control;
mod execute;
mod files;
mod handler;
mod keys;
mod ledger;
mod log;
mod logging;
mod pin;
mod receipt;
mod registry;
mod registry_file;
mod serve;
mod signature;
mod witness;

use std::error::Error;
use std::process::ExitCode;

use args::{
    ApprovalCommand, Args, Command, HandlerCommand, LedgerCommand, LogCommand, ReceiptCommand, RegistryCommand,
};
use clap::Parser;

fn main() -> ExitCode {
    match run(Args::parse().command) {
        Ok(code) => code,
        Err(error) => {
            logging::say_error(&*error);
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        Command::Serve(options) => serve::run(*options),
        Command::Execute(options) => execute::run(&options),
        Command::Registry(RegistryCommand::Verify(source)) => registry::verify(&source),
        Command::Registry(RegistryCommand::List(options)) => registry::list(&options),
        Command::Registry(RegistryCommand::Pin(options)) => pin::pin(&options),
        Command::Registry(RegistryCommand::Unpin(options)) => pin::unpin(&options),
        #[cfg(feature = "compiler")]
        Command::Handler(HandlerCommand::New(options)) => handler::new(&options),
        #[cfg(feature = "compiler")]
        Command::Handler(HandlerCommand::Build(options)) => handler::build(&options),
        Command::Handler(HandlerCommand::Check(options)) => handler::check(&options),
        Command::Handler(HandlerCommand::Run(options)) => handler::run(&options),
        Command::Handler(HandlerCommand::Test(options)) => handler::test(&options),
        Command::Handler(HandlerCommand::Examine(options)) => handler::examine(&options),
        Command::Registry(RegistryCommand::Compile(options)) => compile::run(&options),
        Command::Registry(RegistryCommand::Keygen(options)) => signature::keygen(&options),
        Command::Registry(RegistryCommand::Sign(options)) => signature::sign(&options),
        Command::CompileOne(options) => compile::run_one(&options),
        Command::Ledger(LedgerCommand::Stats(options)) => ledger::stats(&options),
        Command::Ledger(LedgerCommand::Audit(options)) => ledger::audit(&options),
        Command::Ledger(LedgerCommand::Purge(options)) => ledger::purge(&options),
        Command::Control(command) => control::run(&command),
        Command::Approval(ApprovalCommand::Keygen(options)) => approval::keygen(&options),
        Command::Approval(ApprovalCommand::Mint(options)) => approval::mint(&options),
        Command::Approval(ApprovalCommand::Cosign(options)) => approval::cosign(&options),
        Command::Approval(ApprovalCommand::Inspect(options)) => approval::inspect(&options),
        Command::Approval(ApprovalCommand::Verify(options)) => approval::verify(&options),
        Command::Receipt(ReceiptCommand::Key(source)) => receipt::print_key(&source),
        Command::Receipt(ReceiptCommand::Keygen(options)) => receipt::keygen(&options),
        Command::Log(LogCommand::Key(source)) => log::print_key(&source),
        Command::Receipt(ReceiptCommand::Export(options)) => receipt::export(&options),
        Command::Receipt(ReceiptCommand::Verify(options)) => receipt::verify(&options),
        Command::Receipt(ReceiptCommand::Assemble(options)) => receipt::assemble(&options),
        Command::Log(LogCommand::VerifyProof(options)) => log::verify_proof(&options),
        Command::Log(LogCommand::VerifyConsistency(options)) => log::verify_consistency(&options),
        Command::Witness(options) => witness::run(&options),
    }
}
