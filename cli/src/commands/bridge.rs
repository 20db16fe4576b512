//! `reprise bridge`.

use crate::args::BridgeArgs;
use crate::bridge::{Gate, Ports, Relay};
use crate::say;
use crate::signals::StopFlag;
use anyhow::Context;
use std::io::{self, Write};

/// Brings gdb and the page together until it is told to stop.
pub(crate) fn bridge(args: &BridgeArgs) -> anyhow::Result<u8> {
    let stop = StopFlag::catch().context("signals cannot be caught")?;
    let ports = Ports {
        gdb: args.gdb_port,
        page: args.port,
    };
    let mut relay = Relay::new(Gate::new(args.origin.clone()), ports)?;
    say::line(format_args!(
        "reprise: 1. on the page: press \"gdb\", and paste the code below, which works once"
    ));
    say::line(format_args!(
        "reprise: 2. in gdb: target remote 127.0.0.1:{}",
        relay.gdb_port()
    ));
    say::line("reprise: Ctrl-C ends this");
    while stop.signal().is_none() {
        if let Some(code) = relay.take_code() {
            // Whoever reads a pipe waits for this line.
            writeln!(io::stdout(), "{code}")?;
            io::stdout().flush()?;
        }
        relay.turn()?;
    }
    relay.close();
    Ok(0)
}
