//! Real signals, sent by this process to itself.

use std::process::Command;
use std::time::Duration;

use tidemill_shell::signals::Shutdown;

#[tokio::test]
async fn sigterm_drains_and_the_second_signal_ends() {
    let shutdown = Shutdown::listen().unwrap();
    assert!(!shutdown.is_draining());
    let own_pid = std::process::id().to_string();
    let send =
        |signal: &str| assert!(Command::new("kill").args([signal, &own_pid]).status().unwrap().success());
    let within = Duration::from_secs(20);

    send("-TERM");
    tokio::time::timeout(within, shutdown.draining()).await.unwrap();
    assert!(!shutdown.is_immediate());
    send("-INT");
    tokio::time::timeout(within, shutdown.immediate()).await.unwrap();
}
