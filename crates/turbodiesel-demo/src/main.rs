//! The demo's program: options, Ctrl-C, exit code.

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use turbodiesel_demo::{Interrupted, Options, run};

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let interrupt = CancellationToken::new();
    if let Err(error) = cancel_on_signals(&interrupt) {
        eprintln!("error: cannot handle Ctrl-C: {error}");
        return ExitCode::FAILURE;
    }
    match run(&options, &interrupt).await {
        Ok(report) => {
            println!("{}", report.text());
            if report.is_as_it_must_be() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("interrupted: everything the demo made has been removed");
            // What shells say of a program that Ctrl-C has ended.
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Cancels the token on Ctrl-C, SIGTERM and SIGHUP.
fn cancel_on_signals(interrupt: &CancellationToken) -> std::io::Result<()> {
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut signals = signal(kind)?;
        let interrupt = interrupt.clone();
        tokio::spawn(async move {
            signals.recv().await;
            interrupt.cancel();
        });
    }
    Ok(())
}
