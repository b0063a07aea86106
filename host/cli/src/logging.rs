//! Logs go to stderr. Standard output belongs to the answer of a command.

use std::error::Error;
use std::io::{IsTerminal, Write};
use std::panic::PanicHookInfo;

use tracing_subscriber::EnvFilter;

use crate::args::{LogFormat, LogOptions};

/// Starts logging for the rest of the process.
pub(crate) fn start(options: &LogOptions) -> Result<(), String> {
    let filter = EnvFilter::builder().parse(&options.log);
    let filter =
        filter.map_err(|error| format!("--log '{}': {error}: write error, warn, info or debug", options.log))?;
    let is_terminal = std::io::stderr().is_terminal();
    let format = options.log_format.unwrap_or(if is_terminal { LogFormat::Text } else { LogFormat::Json });
    // A line that cannot be written (its disk is full) is lost. Reporting that on stderr would panic there, and again in
    // the panic hook, and take the host down with the log.
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    match format {
        LogFormat::Text => subscriber.with_ansi(is_terminal).init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Logs where a panic happened, not what it said: its text may quote a payload.
fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, "a defect of this host: a thread panicked");
}

/// Tells a person why a command could not be done.
pub(crate) fn say_error(error: &dyn Error) {
    // A closed stderr leaves nobody to tell.
    let _ = writeln!(std::io::stderr(), "openexec: {error}");
}

/// Prints the answer of a command.
pub(crate) fn say(answer: &str) {
    let _ = writeln!(std::io::stdout(), "{answer}");
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_logged_by_its_place_and_not_by_its_text() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
        std::panic::set_hook(Box::new(log_panic));
        tracing::subscriber::with_default(subscriber, || {
            std::panic::catch_unwind(|| panic!("payload {}", "secret")).unwrap_err();
        });
        let _ = std::panic::take_hook();
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(log.contains("logging.rs") && !log.contains("secret"), "{log}");
    }
}
